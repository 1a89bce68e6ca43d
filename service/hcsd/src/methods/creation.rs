//! `CreateComputeSystem`: from the document to a system in state Created, or to nothing at all.

use std::{
    fs,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use hcs_config::Program;
use hcs_container::{Plan, policy::Notice};
use hcs_core::{Call, Cause, Error, Exit, Lifecycle, SystemId, random};
use hcs_ipc::{
    compute::{CreateComputeSystem, CreatedSystem, Method, Warning},
    worker::Request,
};
use hcs_machine::plan::Restore;
use hcs_schema::{Any, ComputeSystem, Guid, OperationFailureDetail, Reading, Version};

use super::{
    Context, Outcome, cpu_group, host,
    hosted_system::{self, Hosted},
    restoring, within,
};
use crate::{
    config::Config,
    host::{machine_users, memory},
    operations::Entered,
    record::Record,
    registry, spare_workers,
    system::{Facts, Setting, System},
    worker,
};

/// Creates a system.
pub async fn create(context: Context, call: CreateComputeSystem) -> Result<Outcome<CreatedSystem>, Error> {
    let (entered, cancelled) = context.service.operations.enter_cancellable(
        &context.session,
        call.operation,
        CreateComputeSystem::NAME,
        Some(call.id.clone()),
    );
    let span = tracing::info_span!("operation", method = CreateComputeSystem::NAME, id = %call.id, operation = call.operation);
    within(span, async {
        let result = make(&context, &call, &entered, cancelled).await;
        match &result {
            Ok(_) => tracing::info!("created"),
            Err(error) => tracing::info!(%error, "not created"),
        }
        result.map_err(|error| error.during(OperationFailureDetail::Construct))
    })
    .await
}

/// What is made, and how.
enum Kind {
    Container(Plan),
    Machine(hcs_machine::Plan),
    Hosted(Hosted),
}

impl Kind {
    /// What a worker is asked.
    fn request(&self) -> Result<Request, Error> {
        let failed = |error: serde_json::Error| Error::new(Cause::Unexpected, error.to_string());
        Ok(match self {
            Kind::Container(plan) => Request::Create { plan: Any::from_value(plan).map_err(failed)? },
            Kind::Machine(plan) => Request::CreateMachine { plan: Any::from_value(plan).map_err(failed)? },
            Kind::Hosted(hosted) => Request::CreateHosted { document: hosted.document.clone() },
        })
    }
}

/// A document that has passed every test that needs no host.
struct Design {
    id: SystemId,
    plan: Kind,
    owner: String,
    terminate_on_last_handle: bool,
    warnings: Vec<Warning>,
    cpu_group: Option<Guid>,
    /// What goes to the worker beside the plan.
    given: Vec<OwnedFd>,
}

async fn make(
    context: &Context,
    call: &CreateComputeSystem,
    entered: &Entered,
    mut cancelled: tokio::sync::oneshot::Receiver<()>,
) -> Result<Outcome<CreatedSystem>, Error> {
    let mut design = design(call, &context.service.config.cgroup_parent)?;
    if let Kind::Machine(plan) = &mut design.plan {
        entered.step("looking at the host");
        plan.host = machine_host(context, &design.id).await?;
        if let Some(id) = design.cpu_group {
            let at = "$.VirtualMachine.ComputeTopology.Processor.CpuGroup.Id";
            let found = cpu_group::processors(&context.service, id);
            plan.processors.of_host = Some(found.map_err(|error| error.at(at))?);
        }
        entered.step("looking at what was saved");
        design.given = restoring::prepare(context, plan).await?;
    }
    for warning in &design.warnings {
        tracing::warn!(path = warning.path, "a member has no effect: {}", warning.message);
    }
    // Somebody can kill a worker right after it was chosen, and with it all that were ready. The one after them is made
    // for this call: if the document is what they died of, it dies too, and that is told.
    let mut ready = spare_workers::KEPT;
    let system = loop {
        match attempt(context, &design, entered, &mut cancelled).await {
            Err(error)
                if ready > 0
                    && matches!(error.cause, Cause::UnexpectedExit | Cause::SystemAlreadyStopped) =>
            {
                ready -= 1;
            }
            outcome => break outcome?,
        }
    };
    let handle = match context.session.open_system(&system) {
        Ok(handle) => handle,
        Err(error) => {
            // The client has gone meanwhile; its handle is closed by that.
            if system.terminate_on_last_handle {
                system.end(Exit::TerminatedByClient);
            }
            return Err(error);
        }
    };
    Ok(CreatedSystem {
        handle,
        runtime_id: system.runtime_id.to_string(),
        instance: system.instance.clone(),
        warnings: system.warnings.clone(),
    }
    .into())
}

/// Has a worker create the system. On failure nothing is left.
async fn attempt(
    context: &Context,
    design: &Design,
    entered: &Entered,
    cancelled: &mut tokio::sync::oneshot::Receiver<()>,
) -> Result<Arc<System>, Error> {
    let request = design.plan.request()?;
    // All that can fail here comes before there is something to be taken back.
    let given = design.given.iter().map(OwnedFd::try_clone).collect::<Result<_, _>>();
    let given = given.map_err(|error| Error::from_io(&error, "holding a template"))?;
    entered.step("starting a worker");
    let (system, setting) = prepare(context, design).await?;
    let task = tokio::spawn(setting.run());
    entered.step("waiting for the worker");
    let outcome = {
        let asked = system.ask_with(Call::Create, request, given);
        tokio::pin!(asked);
        tokio::select! {
            // The request goes out first: it is what the actor answers when the creation is given up.
            biased;
            outcome = &mut asked => outcome,
            Ok(()) = cancelled => {
                system.abandon();
                // Also when the worker was quicker: who was told that the call is cancelled finds nothing.
                asked.await.and_then(|_| Err(Error::new(Cause::Cancelled, "the creation was given up")))
            }
        }
    };
    // What is not known to have been completed is torn down by the next service, so it is not told as done.
    let completed = outcome.and_then(|_| {
        let noted = system.update_record(|record| record.created = true);
        noted.inspect_err(|_| system.abandon())
    });
    match completed {
        Ok(()) => Ok(system),
        Err(error) => {
            // The failure is told when nothing is left of the attempt.
            let _ = task.await;
            Err(if matches!(design.plan, Kind::Hosted(_)) { hosted_system::inside(error) } else { error })
        }
    }
}

/// Reads, validates and plans. Nothing is touched.
fn design(call: &CreateComputeSystem, cgroup_parent: &str) -> Result<Design, Error> {
    let id = SystemId::new(&call.id)?;
    let text = call.document.get();
    let reading: Reading<ComputeSystem> = match call.strict {
        Some(true) => {
            hcs_schema::read_strict::<ComputeSystem>(text)?;
            hcs_schema::read(text)?
        }
        _ => hcs_schema::read(text)?,
    };
    let document = &reading.value;
    check_version(document.schema_version.as_ref())?;
    check_kind(document)?;
    let (plan, notices) = match &document.virtual_machine {
        _ if document.hosted_system.is_some() => {
            let planned = hosted_system::plan(&reading, &id, cgroup_parent)?;
            (Kind::Hosted(planned.0), planned.1)
        }
        Some(_) => {
            let planned = hcs_machine::Plan::new(&reading, id.as_str(), id.runtime_id(), cgroup_parent)?;
            (Kind::Machine(planned.0), planned.1)
        }
        None => {
            let planned = Plan::new(&reading, id.as_str(), id.runtime_id(), cgroup_parent)?;
            (Kind::Container(planned.0), planned.1)
        }
    };
    let warnings = notices.into_iter().map(|Notice { path, message }| Warning { path, message }).collect();
    Ok(Design {
        id,
        plan,
        owner: document.owner.clone().unwrap_or_default(),
        terminate_on_last_handle: document.should_terminate_on_last_handle_closed.unwrap_or(false),
        warnings,
        cpu_group: group_of(document),
        given: Vec::new(),
    })
}

/// The CPU group that a machine is to be in.
fn group_of(document: &ComputeSystem) -> Option<Guid> {
    let topology = document.virtual_machine.as_ref()?.compute_topology.as_ref()?;
    topology.processor.as_ref()?.cpu_group.as_ref()?.id.filter(|id| *id != Guid::NIL)
}

/// What a plan says of this host. Nothing of it is in the document.
async fn machine_host(context: &Context, id: &SystemId) -> Result<hcs_machine::plan::Host, Error> {
    let service = &context.service;
    let settings = &service.config.settings;
    let qemu = qemu(&service.config).ok_or_else(|| {
        Error::new(Cause::VirtualizationMissing, "there is no QEMU on this host")
            .at("$.VirtualMachine")
            .hint("Install the package qemu-system-x86, 9.0 or newer, or say where it is: hcsd --qemu.")
    })?;
    let kvm = service.has_kvm().await;
    let user = host::user_of(service, id)?;
    let memory = memory::read(Path::new("/proc"), Path::new("/sys"))
        .map_err(|error| Error::from_io(&error, "reading how much memory the host has"))?;
    Ok(hcs_machine::plan::Host {
        qemu: qemu.display().to_string(),
        kvm,
        user,
        group: machine_users::GROUP,
        memory_mib: memory.total_bytes >> 20,
        sockets: registry::folder(&service.config.systems(), id).join(SOCKETS).display().to_string(),
        guest_patience: settings.guest_patience.get(),
        processor: kvm.then(host::processor_requirements),
    })
}

/// Where the sockets to the guest of a machine are, below its folder.
const SOCKETS: &str = "hvsocket";

/// Makes it, for those who may use the service. The service's own socket may be another's that opened it for us.
fn make_sockets_folder(folder: &Path, group: Option<u32>) -> std::io::Result<()> {
    fs::create_dir(folder)?;
    std::os::unix::fs::chown(folder, None, group)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o770))
}

/// The QEMU that machines get: the one that the service was told, or the system's.
pub(super) fn qemu(config: &Config) -> Option<PathBuf> {
    if let Program::At(qemu) = &config.settings.qemu {
        return Some(qemu.clone());
    }
    let name = format!("qemu-system-{}", std::env::consts::ARCH);
    let folders = ["/usr/local/bin", "/usr/bin"].into_iter().map(|folder| PathBuf::from(folder).join(&name));
    folders.into_iter().find(|path| path.is_file())
}

/// Version 2 of the schema, whatever its minor number: newer members are told apart one by one.
fn check_version(version: Option<&Version>) -> Result<(), Error> {
    const PATH: &str = "$.SchemaVersion";
    let Some(version) = version else {
        return Err(Error::new(Cause::InvalidData, "the document has no schema version, as in version 1")
            .at(PATH)
            .hint("Version 1 documents are not supported; write a version 2 document with \"SchemaVersion\":{\"Major\":2,\"Minor\":1}."));
    };
    match version.major {
        Some(2) => Ok(()),
        Some(1) => Err(Error::new(Cause::NotSupported, "found a version 1 document, expected version 2")
            .at("$.SchemaVersion.Major")
            .hint("Write it in version 2 of the schema.")),
        other => Err(Error::new(
            Cause::NotSupported,
            format!("found version {}, expected version 2", other.unwrap_or(0)),
        )
        .at("$.SchemaVersion.Major")),
    }
}

/// Exactly one of the three kinds of system.
fn check_kind(document: &ComputeSystem) -> Result<(), Error> {
    let kinds = [
        ("Container", document.container.is_some()),
        ("VirtualMachine", document.virtual_machine.is_some()),
        ("HostedSystem", document.hosted_system.is_some()),
    ];
    let given: Vec<&str> = kinds.iter().filter(|kind| kind.1).map(|kind| kind.0).collect();
    match given[..] {
        ["Container" | "VirtualMachine"] if document.hosting_system_id.is_some() => {
            Err(Error::new(Cause::InvalidData, "only a HostedSystem has a system that hosts it")
                .at("$.HostingSystemId"))
        }
        ["Container" | "VirtualMachine" | "HostedSystem"] => Ok(()),
        [] => Err(Error::new(Cause::InvalidData, "found none of Container, VirtualMachine, HostedSystem")
            .at("$")
            .hint("A document describes exactly one of them.")),
        _ => Err(Error::new(Cause::InvalidData, format!("found {}", given.join(" and ")))
            .at("$")
            .hint("A document describes exactly one of them.")),
    }
}

/// Takes the id, writes the intent down, starts the worker. On failure nothing is left.
async fn prepare(context: &Context, design: &Design) -> Result<(Arc<System>, Setting), Error> {
    let service = &context.service;
    let instance = random::guid().to_string();
    let folder = registry::folder(&service.config.systems(), &design.id);
    let mut record = Record::new(
        design.id.as_str(),
        &instance,
        &design.owner,
        design.terminate_on_last_handle,
        &service.config.cgroup_parent,
    );
    if let Kind::Machine(plan) = &design.plan {
        record.is_machine = true;
        record.sockets = plan.sockets().map(str::to_owned).collect();
        record.partial_files = plan.dump.iter().map(|dump| dump.partial()).collect();
        if let Some(Restore::Template { id }) = &plan.restore {
            record.template = Some(id.clone());
        }
        record.cpu_group = design.cpu_group.map(|id| id.to_string());
    }
    if let Kind::Hosted(hosted) = &design.plan {
        let host = hosted_system::host_of(context, &hosted.host)?;
        record.host = Some(registry::folder(&service.config.systems(), &host.id));
        record.hosting_system = Some(host.id.as_str().to_owned());
    }
    let facts = Facts { id: design.id.clone(), warnings: design.warnings.clone(), folder: folder.clone() };
    let (system, queue) = System::new(facts, record, Lifecycle::new());
    service.registry.enter(&system)?;
    let started = async {
        let failed = |error: std::io::Error| Error::from_io(&error, "writing the record of the system");
        let note = || {
            registry::make_folder(&folder).map_err(failed)?;
            if let Kind::Machine(hcs_machine::Plan { has_sockets: true, .. }) = &design.plan {
                make_sockets_folder(&folder.join(SOCKETS), service.access.group()).map_err(failed)?;
            }
            system.recorded().write(&folder).map_err(failed)
        };
        if let Some(host) = &system.recorded().host {
            note()?;
            return Ok(worker::find_host(host, system.instance.clone(), worker::GREETING).await?.0);
        }
        let mut worker = service.spare_workers.take().await?;
        system.note_worker(worker.identity());
        let owned = async {
            note()?;
            worker.own(&folder, system.runtime_id.to_string()).await
        };
        match owned.await {
            Ok(()) => Ok(worker),
            Err(error) => {
                worker.kill().await;
                Err(error)
            }
        }
    };
    match started.await {
        Ok(worker) => {
            let setting = Setting { service: service.clone(), system: system.clone(), worker, queue };
            Ok((system, setting))
        }
        Err(error) => {
            registry::remove_folder(&folder).await;
            service.registry.forget(&system);
            Err(error)
        }
    }
}

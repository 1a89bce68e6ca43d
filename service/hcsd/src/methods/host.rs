//! The host and the service: what they are, what can be changed, crash reports.

use std::{
    io,
    path::Path,
    sync::{MutexGuard, PoisonError},
};

use hcs_core::{Cause, Error, SystemId};
use hcs_ipc::compute::{
    CrashReportEntry, CrashReportReply, CrashReportsReply, Done, GetCrashReport, GetMachineUser,
    GetServiceProperties, ListCrashReports, MachineUser, ModifyServiceSettings, PropertiesReply,
    SubmitWerReport, SubmittedReport,
};
use hcs_schema::{
    Any, BasicInformation, CpuGroupAffinity, CpuGroupConfig, CpuGroupConfigurations, CpuGroupProperty,
    CrashReport, CreateGroupOperation, DeleteGroupOperation, GetPropertyType,
    HostProcessorModificationRequest, LogicalProcessor, ModificationRequest, ModifyPropertyType,
    ModifyServiceOperation, ProcessorCapabilitiesInfo, ProcessorFeature, ProcessorTopology, PropertyResponse,
    QoSCapabilities, ServiceProperties, ServicePropertyQuery, SetPropertyOperation, Subnode, SubnodeType,
    Version, XsaveProcessorFeature,
};
use serde::Serialize;
use serde_json::json;

use super::{Context, Outcome, cpu_group, done, options};
use crate::{
    host::{
        capabilities,
        cpu_group_error::CpuGroupError,
        cpu_groups::{CpuGroups, PROPERTY_CAPACITY},
        machine_users, memory,
        topology::{self, SubnodeKind},
    },
    reading::{read, read_at},
    service::Service,
};

/// Answers a Service_PropertyQuery; no query asks for the basic property.
pub async fn properties(
    context: Context,
    call: GetServiceProperties,
) -> Result<Outcome<PropertiesReply>, Error> {
    let query = read::<ServicePropertyQuery>(options(call.query.as_ref()))?;
    let mut properties = ServiceProperties::default();
    let nothing_asked = query.property_types.is_none() && query.property_queries.is_none();
    let kinds = query.property_types.or(nothing_asked.then(|| vec![GetPropertyType::Basic]));
    if let Some(kinds) = kinds {
        let mut answers = Vec::with_capacity(kinds.len());
        for (index, kind) in kinds.into_iter().enumerate() {
            let answer = answer(&context.service, kind);
            answers.push(answer.map_err(|error| error.at(format!("$.PropertyTypes[{index}]")))?);
        }
        properties.properties = Some(answers);
    }
    if let Some(queries) = query.property_queries {
        let responses = queries.into_keys().map(|name| {
            let answer = GetPropertyType::parse(&name)
                .ok_or_else(|| Error::new(Cause::NotSupported, format!("there is no property {name:?}")))
                .and_then(|kind| self::answer(&context.service, kind));
            let response = match answer {
                Ok(response) => PropertyResponse { response: Some(response), error: None },
                Err(error) => PropertyResponse { response: None, error: Some(error.document()) },
            };
            (name, response)
        });
        properties.property_responses = Some(responses.collect());
    }
    Ok(PropertiesReply { properties: document(&properties)? }.into())
}

fn document(value: &impl Serialize) -> Result<Any, Error> {
    Any::from_value(value)
        .map_err(|error| Error::new(Cause::Unexpected, format!("writing a document: {error}")))
}

fn answer(service: &Service, kind: GetPropertyType) -> Result<Any, Error> {
    match kind {
        GetPropertyType::Basic => document(&BasicInformation {
            supported_schema_versions: Some(
                [0, 1, 7].into_iter().map(|minor| Version { major: Some(2), minor: Some(minor) }).collect(),
            ),
        }),
        GetPropertyType::ProcessorTopology => document(&processor_topology()?),
        GetPropertyType::CpuGroup => {
            document(&CpuGroupConfigurations { cpu_groups: Some(cpu_groups(service)) })
        }
        GetPropertyType::QoSCapabilities => {
            let supported = groups(service).as_ref().is_some_and(CpuGroups::has_capacity);
            document(&QoSCapabilities { processor_qos_supported: Some(supported) })
        }
        GetPropertyType::Memory => document(&host_memory()?),
        GetPropertyType::ProcessorCapabilities => document(&processor_capabilities()),
        other => Err(Error::new(Cause::NotSupported, format!("this host has no property {other}"))),
    }
}

fn processor_topology() -> Result<ProcessorTopology, Error> {
    let processors = topology::read(Path::new("/sys"))
        .map_err(|error| Error::from_io(&error, "reading the processor topology"))?;
    let processors: Vec<LogicalProcessor> = processors
        .into_iter()
        .map(|processor| LogicalProcessor {
            lp_index: Some(processor.index),
            node_number: Some(processor.node),
            package_id: Some(processor.package),
            core_id: Some(processor.core),
            // There is no root partition whose virtual processor this could be.
            root_vp_index: Some(-1),
            subnodes: Some(
                processor
                    .subnodes
                    .into_iter()
                    .map(|subnode| Subnode {
                        type_: Some(match subnode.kind {
                            SubnodeKind::Cluster => SubnodeType::Cluster,
                            SubnodeKind::L3 => SubnodeType::L3,
                        }),
                        id: Some(subnode.id),
                    })
                    .collect(),
            ),
        })
        .collect();
    Ok(ProcessorTopology {
        logical_processor_count: Some(processors.len() as u32),
        logical_processors: Some(processors),
    })
}

/// The published sample asks for it and no schema says what it is: totals and nodes, in bytes.
fn host_memory() -> Result<serde_json::Value, Error> {
    let memory = memory::read(Path::new("/proc"), Path::new("/sys"))
        .map_err(|error| Error::from_io(&error, "reading the host's memory"))?;
    let nodes: Vec<_> = memory
        .nodes
        .iter()
        .map(|(node, total, free)| json!({ "NodeNumber": node, "TotalBytes": total, "AvailableBytes": free }))
        .collect();
    Ok(json!({
        "TotalBytes": memory.total_bytes,
        "AvailableBytes": memory.available_bytes,
        "Nodes": nodes,
    }))
}

/// The same, as what a machine needs that has the host's own processors.
pub(super) fn processor_requirements() -> serde_json::Value {
    serde_json::to_value(processor_capabilities()).unwrap_or_default()
}

fn processor_capabilities() -> ProcessorCapabilitiesInfo {
    let host = capabilities::of_host();
    let known = |value: u64| (value != 0).then_some(value);
    ProcessorCapabilitiesInfo {
        processor_features: Some(
            host.features.iter().filter_map(|name| ProcessorFeature::parse(name)).collect(),
        ),
        xsave_processor_features: Some(
            host.xsave_features.iter().filter_map(|name| XsaveProcessorFeature::parse(name)).collect(),
        ),
        cache_line_flush_size: known(host.cache_line_flush_size),
        implemented_physical_address_bits: known(host.physical_address_bits),
        ..ProcessorCapabilitiesInfo::default()
    }
}

fn cpu_groups(service: &Service) -> Vec<CpuGroupConfig> {
    let list = groups(service).as_ref().map(CpuGroups::list).unwrap_or_default();
    list.into_iter()
        .map(|group| CpuGroupConfig {
            group_id: group.id.parse().ok(),
            affinity: Some(CpuGroupAffinity {
                logical_processor_count: Some(group.processors.len() as u32),
                logical_processors: Some(group.processors),
            }),
            group_properties: Some(vec![CpuGroupProperty {
                property_code: Some(PROPERTY_CAPACITY),
                property_value: Some(u64::from(group.capacity)),
            }]),
            hypervisor_group_id: None,
        })
        .collect()
}

/// The CPU groups, if this host has any.
pub(super) fn groups(service: &Service) -> MutexGuard<'_, Option<CpuGroups>> {
    service.cpu_groups.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Changes a setting of the service.
pub async fn modify(context: Context, call: ModifyServiceSettings) -> Result<Outcome<Done>, Error> {
    let request = read::<ModificationRequest>(call.settings.get())?;
    match request.property_type {
        Some(ModifyPropertyType::CpuGroup) => {}
        Some(other) => {
            return Err(Error::new(
                Cause::NotSupported,
                format!("found {other}, which means nothing on Linux"),
            )
            .at("$.PropertyType"));
        }
        None => return Err(Error::new(Cause::InvalidData, "found nothing").at("$.PropertyType")),
    }
    let settings =
        read_at::<HostProcessorModificationRequest>(&request.settings.unwrap_or_default(), "$.Settings")?;
    let details = settings.operation_details.unwrap_or_default();
    let mut groups = groups(&context.service);
    let groups = groups.as_mut().ok_or_else(|| {
        Error::new(Cause::NotSupported, "this host has no cpuset cgroup controller").at("$.PropertyType")
    })?;
    const DETAILS: &str = "$.Settings.OperationDetails";
    let changed = match settings.operation {
        Some(ModifyServiceOperation::CreateGroup) => {
            let wanted = read_at::<CreateGroupOperation>(&details, DETAILS)?;
            let processors = wanted.logical_processors.unwrap_or_default();
            let count = wanted.logical_processor_count.unwrap_or(processors.len() as u32);
            groups.create(&group_id(wanted.group_id)?, count, &processors)
        }
        Some(ModifyServiceOperation::DeleteGroup) => {
            let wanted = read_at::<DeleteGroupOperation>(&details, DETAILS)?;
            let id = group_id(wanted.group_id)?;
            not_of_a_machine(&context, &id, DETAILS)?;
            groups.delete(&id)
        }
        Some(ModifyServiceOperation::SetProperty) => {
            let wanted = read_at::<SetPropertyOperation>(&details, DETAILS)?;
            let (code, value) = (wanted.property_code.unwrap_or(0), wanted.property_value.unwrap_or(0));
            let id = group_id(wanted.group_id)?;
            not_of_a_machine(&context, &id, DETAILS)?;
            groups.set_property(&id, code, value)
        }
        None => return Err(Error::new(Cause::InvalidData, "found nothing").at("$.Settings.Operation")),
    };
    changed.map(|()| done()).map_err(|error| explain(&error).at(DETAILS))
}

/// What a machine has of its group it has got when it joined.
fn not_of_a_machine(context: &Context, id: &str, at: &str) -> Result<(), Error> {
    match cpu_group::is_used(&context.service, id) {
        true => Err(Error::new(Cause::InUse, format!("a virtual machine is in the CPU group {id}"))
            .at(at)
            .hint("Have it leave the group first.")),
        false => Ok(()),
    }
}

fn group_id(id: Option<hcs_schema::Guid>) -> Result<String, Error> {
    id.map(|id| id.to_string()).ok_or_else(|| {
        Error::new(Cause::InvalidData, "found nothing").at("$.Settings.OperationDetails.GroupId")
    })
}

fn explain(error: &CpuGroupError) -> Error {
    let cause = match error {
        CpuGroupError::BadId { .. }
        | CpuGroupError::CountMismatch { .. }
        | CpuGroupError::NoProcessors
        | CpuGroupError::DuplicateProcessor { .. }
        | CpuGroupError::UnusableProcessor { .. }
        | CpuGroupError::BadCapacity { .. }
        | CpuGroupError::UnknownProperty { .. } => Cause::InvalidData,
        CpuGroupError::Exists { .. } => Cause::AlreadyExists,
        CpuGroupError::NotFound { .. } | CpuGroupError::NoSuchProcess { .. } => Cause::NotFound,
        CpuGroupError::InUse { .. } => Cause::InUse,
        CpuGroupError::UnsupportedProperty { .. } => Cause::NotSupported,
        CpuGroupError::Cgroup { source, .. } | CpuGroupError::Record { source, .. } => {
            source.raw_os_error().map_or(Cause::Unexpected, Cause::from_errno)
        }
    };
    Error::new(cause, error.to_string())
}

/// Keeps a crash report.
pub async fn submit_crash(
    context: Context,
    call: SubmitWerReport,
) -> Result<Outcome<SubmittedReport>, Error> {
    let report = read::<CrashReport>(call.report.get())?;
    let system = report.system_id.unwrap_or_default();
    let mut crashes = context.service.crashes.lock().unwrap_or_else(PoisonError::into_inner);
    let report = crashes
        .submit(call.report.get(), &system)
        .map_err(|error| Error::from_io(&error, "keeping the crash report"))?;
    tracing::info!(report, system, "a crash report was kept");
    Ok(SubmittedReport { report }.into())
}

/// Lists the crash reports.
pub async fn list_crashes(
    context: Context,
    _call: ListCrashReports,
) -> Result<Outcome<CrashReportsReply>, Error> {
    let crashes = context.service.crashes.lock().unwrap_or_else(PoisonError::into_inner);
    let reports = crashes
        .list()
        .into_iter()
        .map(|entry| CrashReportEntry { report: entry.id, id: entry.system_id, time: entry.time_unix as i64 })
        .collect();
    Ok(CrashReportsReply { reports }.into())
}

/// Gives a crash report back.
pub async fn get_crash(context: Context, call: GetCrashReport) -> Result<Outcome<CrashReportReply>, Error> {
    let crashes = context.service.crashes.lock().unwrap_or_else(PoisonError::into_inner);
    let text = crashes.read(&call.report).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::new(Cause::NotFound, error.to_string()),
        _ => Error::from_io(&error, "reading the crash report"),
    })?;
    let document = Any::from_text(&text)
        .map_err(|error| Error::new(Cause::Unexpected, format!("reading the crash report: {error}")))?;
    Ok(CrashReportReply { document }.into())
}

/// Tells the user of a virtual machine, which need not be there yet.
pub async fn machine_user(context: Context, call: GetMachineUser) -> Result<Outcome<MachineUser>, Error> {
    let user = call.id.map(|id| user_of(&context.service, &SystemId::new(&id)?)).transpose()?;
    Ok(MachineUser { user, group: machine_users::GROUP }.into())
}

/// The user of the machine of this id.
pub(super) fn user_of(service: &Service, id: &SystemId) -> Result<u32, Error> {
    let mut users = service.machine_users.lock().unwrap_or_else(PoisonError::into_inner);
    users
        .user_of(id.as_str())
        .map_err(|error| Error::from_io(&error, "finding a user for the virtual machine"))
}

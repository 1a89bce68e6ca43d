//! An OCI runtime specification, added to the plan of a container.
//!
//! What the rest of the document says, too, must agree. What the engine decides itself (which namespaces there are,
//! where the cgroup is) is checked against what the specification asks for, and refused where it differs.

use hcs_core::{Cause, Error, absolute};
use hcs_schema::{
    Container, OciLinux, OciNamespaceType, OciProcess, OciResources, OciSpecification, ProcessParameters,
    member_path,
};
use rustix::thread::CapabilitySet;

use crate::{
    confinement::CAPABILITIES,
    device,
    network::Network,
    oci::{mounts, process},
    plan::Plan,
    policy::Notice,
    process_plan::{ProcessPlan, Wanted},
    said::{Said, say},
    seccomp, user_namespace,
};

const AT: &str = "$.Container.OciSpecification";

/// The name and the root folder that a specification gives, each held against the rest of the document.
pub(crate) fn host_name(container: &Container) -> Result<Option<Said<String>>, Error> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut name = None;
    if let Some(guest) = container.guest_os.as_ref().and_then(|guest| given(&guest.host_name)) {
        say(&mut name, guest, "$.Container.GuestOs.HostName")?;
    }
    if let Some(other) = container.oci_specification.as_ref().and_then(|oci| given(&oci.hostname)) {
        say(&mut name, other, &format!("{AT}.hostname"))?;
    }
    Ok(name)
}

/// The folder of the root file system.
pub(crate) fn root(container: &Container) -> Result<Option<Said<String>>, Error> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut root = None;
    if let Some(path) = container.storage.as_ref().and_then(|storage| given(&storage.path)) {
        say(&mut root, path, "$.Container.Storage.Path")?;
    }
    let of_oci = container.oci_specification.as_ref().and_then(|oci| oci.root.as_ref());
    if let Some(path) = of_oci.and_then(|root| given(&root.path)) {
        say(&mut root, path, &format!("{AT}.root.path"))?;
    }
    Ok(root)
}

/// Adds the rest of a specification to a plan that is made of the rest of the document.
pub(crate) fn add(plan: &mut Plan, oci: &OciSpecification, notices: &mut Vec<Notice>) -> Result<(), Error> {
    plan.root.read_only = oci.root.as_ref().and_then(|root| root.readonly).unwrap_or(false);
    plan.domain_name = oci.domainname.clone().filter(|name| !name.is_empty());
    plan.mounts = mounts::plan(oci.mounts.as_deref().unwrap_or_default(), &format!("{AT}.mounts"))?;
    let mut capabilities = CAPABILITIES;
    if let Some(process) = &oci.process {
        plan.process = Some(process_of(process, notices)?);
        if let Some(sets) = &process.capabilities {
            let sets = process::capabilities(sets, &format!("{AT}.process.capabilities"))?;
            capabilities = CapabilitySet::from_bits_retain(sets.bounding);
        }
    }
    if capabilities != CAPABILITIES {
        plan.filter = seccomp::Filter::for_capabilities(capabilities)?;
    }
    if let Some(linux) = &oci.linux {
        add_linux(plan, linux, notices)?;
    }
    Ok(())
}

/// The process that the container is for. The pipes are chosen when it is started.
fn process_of(process: &OciProcess, notices: &mut Vec<Notice>) -> Result<ProcessPlan, Error> {
    let mut wanted = Wanted::default();
    process::add(&mut wanted, process, &format!("{AT}.process"), notices)?;
    wanted.into_plan(&ProcessParameters::default(), notices)
}

fn add_linux(plan: &mut Plan, linux: &OciLinux, notices: &mut Vec<Notice>) -> Result<(), Error> {
    let at = format!("{AT}.linux");
    plan.network = check_namespaces(linux, &plan.network, &format!("{at}.namespaces"))?;
    plan.users = user_namespace::plan(linux, &at)?;
    if plan.users.is_some() {
        check_shifted(plan, &at)?;
    }
    if let Some(seccomp) = &linux.seccomp {
        let program = seccomp::compile_oci(seccomp, &format!("{at}.seccomp"), notices)?;
        plan.filter = seccomp::Filter::Own(program);
    }
    let paths = |list: &Option<Vec<String>>, usual: &mut Vec<String>, name: &str| -> Result<(), Error> {
        let Some(list) = list else { return Ok(()) };
        for (index, path) in list.iter().enumerate() {
            absolute(path, &format!("{at}.{name}[{index}]"))?;
        }
        *usual = list.clone();
        Ok(())
    };
    for (index, device) in linux.devices.iter().flatten().enumerate() {
        plan.devices.push(device::of_oci(device, &format!("{at}.devices[{index}]"))?);
    }
    paths(&linux.masked_paths, &mut plan.masked, "maskedPaths")?;
    paths(&linux.readonly_paths, &mut plan.read_only, "readonlyPaths")?;
    for (name, value) in linux.sysctl.iter().flatten() {
        plan.settings.push(setting(name, value, plan.network.is_own(), &at)?);
    }
    match linux.rootfs_propagation.as_deref().unwrap_or_default() {
        "" | "slave" | "rslave" => {}
        other => {
            return Err(Error::new(Cause::NotSupported, format!("found {other:?}, expected \"rslave\""))
                .at(format!("{at}.rootfsPropagation")));
        }
    }
    match &linux.resources {
        Some(resources) => add_resources(plan, resources, &format!("{at}.resources")),
        None => Ok(()),
    }
}

/// The namespaces of a container are its own, so the specification must ask for all of them. Only that of the network
/// may be another's, if the rest of the document does not say otherwise.
fn check_namespaces(linux: &OciLinux, network: &Network, at: &str) -> Result<Network, Error> {
    let Some(list) = &linux.namespaces else { return Ok(network.clone()) };
    let mut network = network.clone();
    for (index, namespace) in list.iter().enumerate() {
        let kind = namespace.type_.unwrap_or_default();
        if list[..index].iter().any(|other| other.type_ == namespace.type_) {
            return Err(Error::new(Cause::InvalidData, format!("found {kind} a second time"))
                .at(format!("{at}[{index}].type")));
        }
        if kind == OciNamespaceType::Time {
            return Err(Error::new(Cause::NotSupported, format!("a {kind} namespace is not supported"))
                .at(format!("{at}[{index}].type")));
        }
        let path = namespace.path.as_ref().filter(|path| !path.is_empty());
        if let (OciNamespaceType::Network, Some(path)) = (kind, path) {
            network = named_network(&network, path, format!("{at}[{index}].path"))?;
        } else if kind == OciNamespaceType::Network && !network.is_own() {
            return Err(Error::new(
                Cause::InvalidData,
                "found a network namespace that Networking does not want",
            )
            .at(format!("{at}[{index}]")));
        } else if path.is_some() {
            return Err(Error::new(
                Cause::NotSupported,
                format!("the {kind} namespace is the container's own"),
            )
            .at(format!("{at}[{index}].path"))
            .hint("Leave the path out."));
        }
    }
    for needed in [
        OciNamespaceType::Pid,
        OciNamespaceType::Network,
        OciNamespaceType::Mount,
        OciNamespaceType::Ipc,
        OciNamespaceType::Uts,
    ] {
        if needed == OciNamespaceType::Network && network == Network::Host {
            continue;
        }
        if list.iter().all(|namespace| namespace.type_ != Some(needed)) {
            let detail = format!("found no {needed}, which would be that of the host");
            return Err(Error::new(Cause::NotSupported, detail).at(at).hint(format!("List {needed}.")));
        }
    }
    Ok(network)
}

/// What cannot be had in a user namespace.
fn check_shifted(plan: &Plan, at: &str) -> Result<(), Error> {
    let (what, hint) = if !plan.network.is_own() {
        ("the network of another", "Give the container a network namespace of its own.")
    } else if !plan.root.layers.is_empty() {
        ("a union of layers", "Attach the layers first, or name one folder.")
    } else {
        return Ok(());
    };
    let detail = format!("a container in a user namespace cannot have {what}");
    Err(Error::new(Cause::NotSupported, detail).at(format!("{at}.namespaces")).hint(hint))
}

fn named_network(network: &Network, path: &str, at: String) -> Result<Network, Error> {
    match network {
        Network::Namespace { path: other, .. } if other == path => Ok(network.clone()),
        Network::Own => {
            absolute(path, &at)?;
            Ok(Network::Namespace { path: path.to_owned(), blame: at })
        }
        _ => Err(Error::new(Cause::InvalidData, "found another network than that of $.Container.Networking")
            .at(at)
            .hint("Say it once.")),
    }
}

/// Settings that belong to a namespace of the container; others would change the host.
fn setting(name: &str, value: &str, has_own_network: bool, at: &str) -> Result<(String, String), Error> {
    const OF_IPC: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let name = name.replace('/', ".");
    let at = member_path(&format!("{at}.sysctl"), &name);
    let plain = name.split('.').all(|part| !part.is_empty())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !plain || value.contains('\0') {
        return Err(Error::new(Cause::InvalidData, format!("found {name:?}, expected a dotted name")).at(at));
    }
    let own = (name.starts_with("net.") && has_own_network)
        || name.starts_with("fs.mqueue.")
        || OF_IPC.contains(&name.as_str())
        || name == "kernel.domainname";
    if !own {
        return Err(Error::new(Cause::NotSupported, format!("{name} is a setting of others, too")).at(at));
    }
    Ok((format!("/proc/sys/{}", name.replace('.', "/")), value.to_owned()))
}

fn add_resources(plan: &mut Plan, resources: &OciResources, at: &str) -> Result<(), Error> {
    for (index, rule) in resources.devices.iter().flatten().enumerate() {
        // All devices but the usual ones are refused anyway.
        if rule.allow.unwrap_or(false) {
            return Err(Error::new(Cause::NotSupported, "devices are allowed by AssignedDevices only")
                .at(format!("{at}.devices[{index}]")));
        }
    }
    let limit = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    if let Some(bytes) = resources.memory.as_ref().and_then(|memory| limit(memory.limit?)) {
        let at_memory = "$.Container.Memory.SizeInMB".to_owned();
        let mut said = plan.limits.memory_bytes.map(|value| Said { value, at: at_memory });
        say(&mut said, bytes, &format!("{at}.memory.limit"))?;
        plan.limits.memory_bytes = Some(bytes);
    }
    plan.limits.processes = resources.pids.as_ref().and_then(|pids| limit(pids.limit?));
    if let Some(cpu) = &resources.cpu {
        let limits = &mut plan.limits;
        let is_limited =
            [limits.cpu_count, limits.cpu_maximum, limits.cpu_weight].iter().any(Option::is_some);
        let quota = cpu.quota.and_then(limit);
        let shares = cpu.shares.filter(|shares| *shares > 0);
        if is_limited && (quota.is_some() || shares.is_some()) {
            return Err(Error::new(Cause::InvalidData, "found limits beside those of $.Container.Processor")
                .at(format!("{at}.cpu"))
                .hint("Say them once."));
        }
        const PERIOD: u64 = 100_000;
        limits.cpu_quota =
            quota.map(|quota| [quota, cpu.period.filter(|period| *period > 0).unwrap_or(PERIOD)]);
        limits.cpu_shares = shares;
    }
    Ok(())
}

//! What will be done for a container, as plain data. hcsd makes it from the document, the worker carries it out.
//!
//! Everything that can be decided without looking at the host is decided here, so that golden tests can show
//! the whole effect of a document.

use hcs_core::{Cause, Error, RuntimeId, absolute};
use hcs_schema::{ComputeSystem, Container, ContainerProcessor, PathType, Reading};
use hcs_union::MOST;
use serde::{Deserialize, Serialize};

use crate::{
    confinement,
    device::{self, Device},
    mounts::{extra::ExtraMount, mapping},
    network::{self, Network, resolver::Resolver},
    oci::specification,
    policy::{self, Notice},
    process_plan::ProcessPlan,
    said::Said,
    seccomp,
    user_namespace::UserNamespace,
};

/// A container to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The GUID that names the container's cgroup.
    pub runtime_id: String,
    /// The folder under the cgroup roots that holds the service's containers.
    pub cgroup_parent: String,
    /// The host name inside.
    pub host_name: String,
    /// The domain name inside.
    pub domain_name: Option<String>,
    /// The root file system.
    pub root: Root,
    /// The network.
    pub network: Network,
    /// What the resolver of names is told, if the image is not to say it.
    pub resolver: Option<Resolver>,
    /// Who is who, if the container's users are not those of the host.
    pub users: Option<UserNamespace>,
    /// What is mounted beside what every container has, in this order.
    pub mounts: Vec<ExtraMount>,
    /// Device nodes beside those of every container.
    pub devices: Vec<Device>,
    /// Limits of the cgroup.
    pub limits: Limits,
    /// Limits of the disk that the root file system is on.
    pub disk_limits: Option<DiskLimits>,
    /// Settings of the kernel for the container's namespaces: file, value.
    pub settings: Vec<(String, String)>,
    /// The process that the container is for, if the document names one.
    pub process: Option<ProcessPlan>,
    /// Paths that are hidden.
    pub masked: Vec<String>,
    /// Paths that cannot be written.
    pub read_only: Vec<String>,
    /// The filter of system calls of every process.
    pub filter: seccomp::Filter,
}

/// The root file system of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The host folder that becomes it, or the scratch folder of a union.
    pub path: String,
    /// The layers of a union, the uppermost first.
    pub layers: Vec<String>,
    /// It cannot be written.
    pub read_only: bool,
    /// The member of the document that names the path.
    pub blame: String,
}

/// Limits of what is read and written, each way, in a second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskLimits {
    /// Operations.
    pub operations: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
}

/// Resource limits; `None` means none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// The processors' time, in 1/10000 of all processors of the host.
    pub cpu_maximum: Option<u32>,
    /// The processors' time, in whole processors.
    pub cpu_count: Option<u32>,
    /// Relative share, 1 to 10000; 100 is what everybody has.
    pub cpu_weight: Option<u32>,
    /// Relative share as v1 counts it; 1024 is what everybody has.
    pub cpu_shares: Option<u64>,
    /// Microseconds of the processors' time, and of the period that they are for.
    pub cpu_quota: Option<[u64; 2]>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

/// The most processes of one container; a fork bomb must not take the host down.
pub const MAX_PROCESSES: u64 = 32_768;

impl Plan {
    /// Plans a container. `id` is the system's id, `runtime_id` its GUID, `cgroup_parent` names the service.
    pub fn new(
        reading: &Reading<ComputeSystem>,
        id: &str,
        runtime_id: RuntimeId,
        cgroup_parent: &str,
    ) -> Result<(Plan, Vec<Notice>), Error> {
        let mut notices = policy::admit(policy::CONTAINER, reading)?;
        let Some(container) = &reading.value.container else {
            return Err(Error::new(Cause::InvalidData, "there is no Container").at("$"));
        };
        let (network, resolver) = network::plan::plan(container)?;
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let mut plan = Plan {
            runtime_id: runtime_id.to_string(),
            cgroup_parent: cgroup_parent.to_owned(),
            host_name: host_name(container, id)?,
            domain_name: None,
            root: root(container)?,
            network,
            resolver,
            users: None,
            mounts: Vec::new(),
            devices: device::plan(container)?,
            limits: limits(container)?,
            disk_limits: disk_limits(container),
            settings: Vec::new(),
            process: None,
            masked: owned(confinement::MASKED_PATHS),
            read_only: owned(confinement::READ_ONLY_PATHS),
            filter: seccomp::Filter::Usual,
        };
        if let Some(oci) = &container.oci_specification {
            specification::add(&mut plan, oci, &mut notices)?;
        }
        // Last, so that a file system of the specification does not cover what the document maps.
        plan.mounts.extend(mapping::plan(container)?);
        Ok((plan, notices))
    }
}

fn root(container: &Container) -> Result<Root, Error> {
    let Some(Said { value: path, at }) = specification::root(container)? else {
        return Err(Error::new(Cause::InvalidData, "the container has no root file system")
            .at("$.Container.Storage.Path")
            .hint("Name a folder that holds a root file system."));
    };
    let mut layers = Vec::new();
    for (index, layer) in
        container.storage.iter().flat_map(|storage| storage.layers.iter().flatten()).enumerate()
    {
        let at = format!("$.Container.Storage.Layers[{index}]");
        if layer.path_type.is_some_and(|kind| kind != PathType::AbsolutePath) {
            return Err(Error::new(Cause::NotSupported, "a layer is a folder of the host")
                .at(format!("{at}.PathType"))
                .hint("Leave it out; Path is then a path of the host."));
        }
        let path = layer.path.clone().unwrap_or_default();
        absolute(&path, &format!("{at}.Path"))?;
        layers.push(path);
    }
    if layers.len() > MOST {
        let detail = format!("found {} layers, expected at most {MOST}", layers.len());
        return Err(Error::new(Cause::InvalidData, detail).at("$.Container.Storage.Layers"));
    }
    absolute(&path, &at)?;
    Ok(Root { path, layers, read_only: false, blame: at })
}

fn disk_limits(container: &Container) -> Option<DiskLimits> {
    let qos = container.storage.as_ref()?.qos.as_ref()?;
    let limit = |value: Option<u64>| value.filter(|value| *value > 0);
    let limits = DiskLimits { operations: limit(qos.iops_maximum), bytes: limit(qos.bandwidth_maximum) };
    (limits != DiskLimits::default()).then_some(limits)
}

/// The host name: what the document says, else the id as far as it can be a host name.
fn host_name(container: &Container, id: &str) -> Result<String, Error> {
    const LONGEST: usize = 64;
    if let Some(Said { value: name, at }) = specification::host_name(container)? {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.len() > LONGEST || !name.bytes().all(usable) {
            return Err(Error::new(
                Cause::InvalidData,
                format!("found {name:?}, expected at most {LONGEST} letters, digits, '-', '.' or '_'"),
            )
            .at(at));
        }
        return Ok(name);
    }
    let usable: String = id
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || *character == '-')
        .take(63)
        .collect();
    let trimmed = usable.trim_matches('-');
    Ok(if trimmed.is_empty() { "container".to_owned() } else { trimmed.to_owned() })
}

fn limits(container: &Container) -> Result<Limits, Error> {
    let mut limits = Limits::default();
    let size = container.memory.as_ref().and_then(|memory| memory.size_in_mb);
    limits.memory_bytes = memory_bytes(size, "$.Container.Memory.SizeInMB")?;
    if let Some(processor) = &container.processor {
        processor_limits(processor, "$.Container.Processor", &mut limits)?;
    }
    Ok(limits)
}

/// A limit of memory in bytes; 0 is none.
pub(crate) fn memory_bytes(megabytes: Option<u64>, path: &str) -> Result<Option<u64>, Error> {
    let Some(size) = megabytes.filter(|size| *size > 0) else { return Ok(None) };
    let bytes = size.checked_mul(1 << 20).filter(|bytes| *bytes <= i64::MAX as u64);
    bytes.map(Some).ok_or_else(|| {
        Error::new(Cause::InvalidData, format!("found {size}, expected at most {}", i64::MAX >> 20)).at(path)
    })
}

/// Count, Maximum and Weight exclude one another, as on Windows.
pub(crate) fn processor_limits(
    processor: &ContainerProcessor,
    path: &str,
    limits: &mut Limits,
) -> Result<(), Error> {
    let ranged = |name: &str, value: Option<i64>| -> Result<Option<u32>, Error> {
        match value.filter(|value| *value != 0) {
            None => Ok(None),
            Some(value @ 1..=10_000) => Ok(Some(value as u32)),
            Some(value) => Err(Error::new(
                Cause::InvalidData,
                format!("found {value}, expected an integer from 1 to 10000"),
            )
            .at(format!("{path}.{name}"))),
        }
    };
    limits.cpu_maximum = ranged("Maximum", processor.maximum)?;
    limits.cpu_weight = ranged("Weight", processor.weight)?;
    limits.cpu_count = processor.count.filter(|count| *count > 0);
    let given = [limits.cpu_maximum, limits.cpu_weight, limits.cpu_count].iter().flatten().count();
    if given > 1 {
        return Err(Error::new(Cause::InvalidData, "found more than one of Count, Maximum and Weight")
            .at(path)
            .hint("They exclude one another; keep one."));
    }
    Ok(())
}

//! What will be done for a container, as plain data. hcsd makes it from the document, the worker carries it out.
//!
//! Everything that can be decided without looking at the host is decided here, so that golden tests can show
//! the whole effect of a document.

use hcs_core::{Cause, Error, RuntimeId};
use hcs_schema::{ComputeSystem, Container, ContainerProcessor, Reading};
use serde::{Deserialize, Serialize};

use crate::{
    confinement,
    mapping::{self, Mapping},
    policy::{self, Notice},
    seccomp,
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
    /// The host folder that becomes the root file system.
    pub root: String,
    /// What of the host appears inside.
    #[serde(default)]
    pub mappings: Vec<Mapping>,
    /// Limits of the cgroup.
    pub limits: Limits,
    /// Paths that are hidden.
    pub masked: Vec<String>,
    /// Paths that cannot be written.
    pub read_only: Vec<String>,
    /// The filter of system calls of every process.
    pub filter: seccomp::Program,
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
        let notices = policy::apply(policy::CONTAINER, &reading.present)?;
        let Some(container) = &reading.value.container else {
            return Err(Error::new(Cause::InvalidData, "there is no Container").at("$"));
        };
        let plan = Plan {
            runtime_id: runtime_id.to_string(),
            cgroup_parent: cgroup_parent.to_owned(),
            host_name: host_name(container, id)?,
            root: root(container)?,
            mappings: mapping::plan(container)?,
            limits: limits(container)?,
            masked: confinement::MASKED_PATHS.iter().map(|path| (*path).to_owned()).collect(),
            read_only: confinement::READ_ONLY_PATHS.iter().map(|path| (*path).to_owned()).collect(),
            filter: seccomp::default_program(confinement::CAPABILITIES)?,
        };
        Ok((plan, notices))
    }
}

fn root(container: &Container) -> Result<String, Error> {
    const PATH: &str = "$.Container.Storage.Path";
    let path = container.storage.as_ref().and_then(|storage| storage.path.clone()).unwrap_or_default();
    if path.is_empty() {
        return Err(Error::new(Cause::InvalidData, "the container has no root file system")
            .at(PATH)
            .hint("Name a folder that holds a root file system."));
    }
    if !path.starts_with('/') || path.contains('\0') {
        return Err(
            Error::new(Cause::InvalidData, format!("found {path:?}, expected an absolute path")).at(PATH)
        );
    }
    Ok(path)
}

/// The host name: what the document says, else the id as far as it can be a host name.
fn host_name(container: &Container, id: &str) -> Result<String, Error> {
    const PATH: &str = "$.Container.GuestOs.HostName";
    const LONGEST: usize = 64;
    if let Some(name) = container.guest_os.as_ref().and_then(|guest| guest.host_name.as_ref())
        && !name.is_empty()
    {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.len() > LONGEST || !name.bytes().all(usable) {
            return Err(Error::new(
                Cause::InvalidData,
                format!("found {name:?}, expected at most {LONGEST} letters, digits, '-', '.' or '_'"),
            )
            .at(PATH));
        }
        return Ok(name.clone());
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
    if let Some(size) =
        container.memory.as_ref().and_then(|memory| memory.size_in_mb).filter(|size| *size > 0)
    {
        const PATH: &str = "$.Container.Memory.SizeInMB";
        let bytes = size.checked_mul(1 << 20).filter(|bytes| *bytes <= i64::MAX as u64);
        limits.memory_bytes = Some(bytes.ok_or_else(|| {
            Error::new(Cause::InvalidData, format!("found {size}, expected at most {}", i64::MAX >> 20))
                .at(PATH)
        })?);
    }
    if let Some(processor) = &container.processor {
        processor_limits(processor, "$.Container.Processor", &mut limits)?;
    }
    Ok(limits)
}

/// Count, Maximum and Weight exclude one another, as on Windows.
fn processor_limits(processor: &ContainerProcessor, path: &str, limits: &mut Limits) -> Result<(), Error> {
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

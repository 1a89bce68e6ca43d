//! Changes of a container that exists: what a ModifySettingRequest asks for.

use hcs_core::{Cause, Error};
use hcs_schema::{Any, ContainerProcessor, Document, ModifyRequestType};
use serde::{Deserialize, Serialize};

use crate::{
    mounts::{extra::ExtraMount, mapping},
    plan::{self, Limits},
    policy::{self, CONTAINER, Notice},
};

/// `ResourcePath` of the memory limit.
pub const MEMORY: &str = "Container/Memory/SizeInMB";
/// `ResourcePath` of the processor limits.
pub const PROCESSOR: &str = "Container/Processor";

/// `ResourcePath` of folders of the host.
pub const DIRECTORIES: &str = "Container/MappedDirectories";
/// `ResourcePath` of sockets of the host.
pub const PIPES: &str = "Container/MappedPipes";

/// What is to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Limits; what is not named stays as it is.
    Limits(NewLimits),
    /// Something of the host is to appear.
    Map(ExtraMount),
    /// What appears at this path is to go.
    Unmap(String),
}

/// Limits that are to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NewLimits {
    /// The limit of memory; none lifts it.
    Memory {
        /// Bytes.
        bytes: Option<u64>,
    },
    /// The limits of processors, all of them together, as they exclude one another.
    Processor {
        /// As in [`Limits`].
        maximum: Option<u32>,
        /// As in [`Limits`].
        count: Option<u32>,
        /// As in [`Limits`].
        weight: Option<u32>,
    },
}

const SETTINGS: &str = "$.Settings";

impl Change {
    /// Plans a change; the notices are of what it says without effect. `None` if the path is none of this module's.
    pub fn new(
        path: &str,
        kind: Option<ModifyRequestType>,
        settings: Option<&Any>,
    ) -> Option<Result<(Change, Vec<Notice>), Error>> {
        let mut notices = Vec::new();
        let told = &mut notices;
        let change = match path {
            MEMORY | PROCESSOR => limits(path, kind, settings, told).map(Change::Limits),
            DIRECTORIES => map(kind, settings, told, mapping::directory, mapping::place_of_directory),
            PIPES => map(kind, settings, told, mapping::pipe, mapping::place_of_pipe),
            _ => return None,
        };
        Some(change.map(|change| (change, notices)))
    }
}

fn read<T: Document>(settings: &Any, notices: &mut Vec<Notice>) -> Result<T, Error> {
    let reading = settings.read_at::<T>(SETTINGS)?;
    notices.extend(policy::admit(CONTAINER, &reading)?);
    Ok(reading.value)
}

fn needed(settings: Option<&Any>) -> Result<&Any, Error> {
    settings
        .ok_or_else(|| Error::new(Cause::InvalidData, "found nothing, expected the new value").at(SETTINGS))
}

fn limits(
    path: &str,
    kind: Option<ModifyRequestType>,
    settings: Option<&Any>,
    notices: &mut Vec<Notice>,
) -> Result<NewLimits, Error> {
    // Clients leave the kind out for limits, where there is only one.
    if let Some(kind) = kind.filter(|kind| *kind != ModifyRequestType::Update) {
        let detail = format!("found {kind}, expected Update: {path} is always there");
        return Err(Error::new(Cause::InvalidData, detail).at("$.RequestType"));
    }
    let settings = needed(settings)?;
    if path == MEMORY {
        let size = serde_json::from_str::<u64>(settings.get()).map_err(|_| {
            let detail = format!("found {}, expected a number of megabytes", settings.get());
            Error::new(Cause::InvalidData, detail).at(SETTINGS)
        })?;
        return Ok(NewLimits::Memory { bytes: plan::memory_bytes(Some(size), SETTINGS)? });
    }
    let mut limits = Limits::default();
    let processor = read::<ContainerProcessor>(settings, notices)?;
    plan::processor_limits(&processor, SETTINGS, &mut limits)?;
    let Limits { cpu_maximum: maximum, cpu_count: count, cpu_weight: weight, .. } = limits;
    Ok(NewLimits::Processor { maximum, count, weight })
}

fn map<T: Document>(
    kind: Option<ModifyRequestType>,
    settings: Option<&Any>,
    notices: &mut Vec<Notice>,
    mount: fn(&T, &str) -> Result<ExtraMount, Error>,
    place: fn(&T, &str) -> Result<String, Error>,
) -> Result<Change, Error> {
    let mapped = read::<T>(needed(settings)?, notices)?;
    match kind.unwrap_or(ModifyRequestType::Add) {
        ModifyRequestType::Add => mount(&mapped, SETTINGS).map(Change::Map),
        ModifyRequestType::Remove => place(&mapped, SETTINGS).map(Change::Unmap),
        ModifyRequestType::Update => Err(Error::new(Cause::NotSupported, "a mapping is added or removed")
            .at("$.RequestType")
            .hint("Remove it and add it again.")),
    }
}

impl NewLimits {
    /// The limits after the change.
    pub fn of(&self, limits: &Limits) -> Limits {
        match *self {
            NewLimits::Memory { bytes } => Limits { memory_bytes: bytes, ..limits.clone() },
            NewLimits::Processor { maximum, count, weight } => Limits {
                cpu_maximum: maximum,
                cpu_count: count,
                cpu_weight: weight,
                cpu_shares: None,
                cpu_quota: None,
                ..limits.clone()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(path: &str, settings: &str) -> Result<Change, Error> {
        change(path, None, settings)
    }

    fn change(path: &str, kind: Option<ModifyRequestType>, settings: &str) -> Result<Change, Error> {
        told(path, kind, settings).map(|(change, _)| change)
    }

    fn told(
        path: &str,
        kind: Option<ModifyRequestType>,
        settings: &str,
    ) -> Result<(Change, Vec<Notice>), Error> {
        Change::new(path, kind, Some(&Any::from_text(settings).unwrap())).unwrap()
    }

    #[test]
    fn what_settings_say_without_effect_is_told() {
        let settings = r#"{"HostPath":"/a","ContainerPath":"/b","SupportCloudFiles":true,"Readonly":true}"#;
        let (_, notices) = told(DIRECTORIES, None, settings).unwrap();
        let paths: Vec<&str> = notices.iter().map(|notice| notice.path.as_str()).collect();
        assert_eq!(paths, ["$.Settings.Readonly", "$.Settings.SupportCloudFiles"]);
    }

    fn limits_after(path: &str, settings: &str, before: &Limits) -> Limits {
        let Change::Limits(new) = planned(path, settings).unwrap() else { panic!("{path}") };
        new.of(before)
    }

    #[test]
    fn a_change_touches_what_it_names() {
        let limits = Limits { memory_bytes: Some(1 << 30), cpu_weight: Some(50), ..Limits::default() };
        let memory = limits_after(MEMORY, "64", &limits);
        assert_eq!(memory, Limits { memory_bytes: Some(64 << 20), ..limits.clone() });
        assert_eq!(limits_after(MEMORY, "0", &limits).memory_bytes, None);
        let processor = limits_after(PROCESSOR, r#"{"Maximum":5000}"#, &limits);
        assert_eq!(processor, Limits { cpu_maximum: Some(5000), cpu_weight: None, ..limits });
    }

    #[test]
    fn what_is_wrong_is_told_with_its_member() {
        for (path, settings, blamed) in [
            (MEMORY, "\"much\"", "$.Settings"),
            (MEMORY, "-1", "$.Settings"),
            (MEMORY, "18446744073709551615", "$.Settings"),
            (PROCESSOR, r#"{"Maximum":10001}"#, "$.Settings.Maximum"),
            (PROCESSOR, r#"{"Maximum":1,"Weight":1}"#, "$.Settings"),
            (PROCESSOR, "7", "$.Settings"),
        ] {
            let error = planned(path, settings).unwrap_err();
            assert_eq!(
                (error.cause, error.path.as_deref()),
                (Cause::InvalidData, Some(blamed)),
                "{path} {settings}"
            );
        }
        let add = change(MEMORY, Some(ModifyRequestType::Add), "1");
        assert_eq!(add.unwrap_err().path.as_deref(), Some("$.RequestType"));
        assert!(Change::new(MEMORY, None, None).unwrap().is_err());
        assert!(Change::new("Container/Nothing", None, None).is_none());
    }

    #[test]
    fn what_appears_is_known_by_its_place_when_it_is_to_go() {
        let folder = r#"{"HostPath":"/srv","ContainerPath":"/data/"}"#;
        let Change::Map(mount) = planned(DIRECTORIES, folder).unwrap() else { panic!() };
        assert_eq!(mount.destination, "/data");
        let remove = Some(ModifyRequestType::Remove);
        assert_eq!(
            change(DIRECTORIES, remove, r#"{"ContainerPath":"/data"}"#).unwrap(),
            Change::Unmap("/data".to_owned())
        );
        assert_eq!(
            change(PIPES, remove, r#"{"ContainerPipeName":"web"}"#).unwrap(),
            Change::Unmap("/run/web".to_owned())
        );
        let wrong = planned(DIRECTORIES, r#"{"HostPath":"srv","ContainerPath":"/data"}"#).unwrap_err();
        assert_eq!(wrong.path.as_deref(), Some("$.Settings.HostPath"));
    }
}

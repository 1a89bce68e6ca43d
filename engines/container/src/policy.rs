//! What becomes of each member of a Container document: honoured, accepted without effect, or refused.
//!
//! Nothing is ignored in silence. A member whose loss would change behaviour or isolation is refused by name; a
//! member that means nothing on Linux is accepted and reported as a warning. A member that is present but holds
//! its default (empty, false, 0) asks for nothing and passes. The tables name every member that a document can
//! reach; a test fails when the schema grows one that is missing here.

use hcs_core::{Cause, Error};
use hcs_schema::{PresentMember, Reading, UnknownMember};

use crate::oci::policy::OCI;

/// What becomes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// The engine does what it says.
    Honoured,
    /// Accepted and reported; the reason is told.
    Inert(&'static str),
    /// Refused by name; the reason is told.
    Refused(&'static str),
}

use Treatment::{Honoured, Inert, Refused};

/// A line of a table: type, member, treatment.
pub type Line = (&'static str, &'static str, Treatment);

const WINDOWS_REGISTRY: &str = "there is no registry on Linux";
pub(crate) const WINDOWS_ONLY: &str = "it configures Windows only";
/// Why a member is refused that no table names.
pub const LATER: &str = "this version does not provide it";

/// Members of a Container document.
pub const CONTAINER: &[Line] = &[
    ("ComputeSystem", "Owner", Honoured),
    ("ComputeSystem", "SchemaVersion", Honoured),
    ("ComputeSystem", "Container", Honoured),
    ("ComputeSystem", "ShouldTerminateOnLastHandleClosed", Honoured),
    ("ComputeSystem", "HostingSystemId", Refused("a container has no hosting system")),
    (
        "ComputeSystem",
        "HostedSystem",
        Refused("a document has one of Container, VirtualMachine, HostedSystem"),
    ),
    (
        "ComputeSystem",
        "VirtualMachine",
        Refused("a document has one of Container, VirtualMachine, HostedSystem"),
    ),
    ("Version", "Major", Honoured),
    ("Version", "Minor", Honoured),
    ("Container", "GuestOs", Honoured),
    ("Container", "Storage", Honoured),
    ("Container", "MappedDirectories", Honoured),
    ("Container", "MappedPipes", Honoured),
    ("Container", "Memory", Honoured),
    ("Container", "Processor", Honoured),
    ("Container", "Networking", Honoured),
    (
        "Container",
        "HvSocket",
        Refused("containers have no hypervisor sockets; map a Unix socket with MappedPipes"),
    ),
    ("Container", "ContainerCredentialGuard", Refused("there are no group-managed accounts on Linux")),
    ("Container", "RegistryChanges", Inert(WINDOWS_REGISTRY)),
    ("Container", "AssignedDevices", Honoured),
    ("Container", "AdditionalDeviceNamespace", Refused(WINDOWS_ONLY)),
    ("Container", "OciSpecification", Honoured),
    ("Container", "IsolationType", Refused(WINDOWS_ONLY)),
    ("MappedDirectory", "HostPath", Honoured),
    ("MappedDirectory", "HostPathType", Honoured),
    ("MappedDirectory", "ContainerPath", Honoured),
    ("MappedDirectory", "ReadOnly", Honoured),
    ("MappedDirectory", "SupportCloudFiles", Inert("files of Linux are never placeholders")),
    ("MappedPipe", "ContainerPipeName", Honoured),
    ("MappedPipe", "HostPath", Honoured),
    ("MappedPipe", "HostPathType", Honoured),
    ("GuestOs", "HostName", Honoured),
    ("Storage", "Path", Honoured),
    ("Storage", "Layers", Honoured),
    ("Storage", "QoS", Honoured),
    ("Storage", "PrivilegedContainerRootPath", Refused(WINDOWS_ONLY)),
    ("Layer", "Id", Inert("a layer is found by its path")),
    ("Layer", "Path", Honoured),
    ("Layer", "PathType", Honoured),
    ("Layer", "Cache", Inert("the page cache of Linux is shared by all who use a layer")),
    ("StorageQoS", "IopsMaximum", Honoured),
    ("StorageQoS", "BandwidthMaximum", Honoured),
    ("Device", "Type", Honoured),
    ("Device", "InterfaceClassGuid", Refused("there are no classes of devices on Linux")),
    ("Device", "LocationPath", Honoured),
    ("Container_Memory", "SizeInMB", Honoured),
    ("Container_Processor", "Count", Honoured),
    ("Container_Processor", "Weight", Honoured),
    ("Container_Processor", "Maximum", Honoured),
    ("Networking", "AllowUnqualifiedDnsQuery", Inert("resolvers on Linux always try unqualified names")),
    ("Networking", "DnsSearchList", Honoured),
    (
        "Networking",
        "NetworkSharedContainerName",
        Refused("containers share a namespace by its name, Namespace"),
    ),
    ("Networking", "Namespace", Honoured),
    ("Networking", "NetworkAdapters", Refused("there are no HNS endpoints on Linux; use Linux")),
    ("Networking", "Linux", Honoured),
    ("NetworkLinux", "Mode", Honoured),
    ("NetworkLinux", "Name", Honoured),
    ("NetworkLinux", "Namespace", Honoured),
];

/// Members of a ProcessParameters document.
pub const PROCESS: &[Line] = &[
    ("ProcessParameters", "ApplicationName", Honoured),
    ("ProcessParameters", "CommandLine", Honoured),
    ("ProcessParameters", "CommandArgs", Honoured),
    ("ProcessParameters", "User", Honoured),
    ("ProcessParameters", "WorkingDirectory", Honoured),
    ("ProcessParameters", "Environment", Honoured),
    (
        "ProcessParameters",
        "RestrictedToken",
        Refused("there are no tokens on Linux; give the process a User and capabilities in OciProcess"),
    ),
    ("ProcessParameters", "EmulateConsole", Honoured),
    ("ProcessParameters", "CreateStdInPipe", Honoured),
    ("ProcessParameters", "CreateStdOutPipe", Honoured),
    ("ProcessParameters", "CreateStdErrPipe", Honoured),
    ("ProcessParameters", "ConsoleSize", Honoured),
    (
        "ProcessParameters",
        "UseExistingLogin",
        Inert("a login session changes nothing for a process on Linux"),
    ),
    ("ProcessParameters", "UseLegacyConsole", Inert("there is one kind of console on Linux")),
    ("ProcessParameters", "OciProcess", Honoured),
    ("ProcessParameters", "Linux", Honoured),
    ("ProcessLinux", "Log", Honoured),
    ("ProcessLog", "MaximumSizeBytes", Honoured),
];

/// A member that was accepted without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// JSON path.
    pub path: String,
    /// What became of it and why.
    pub message: String,
}

impl From<&UnknownMember> for Notice {
    fn from(unknown: &UnknownMember) -> Notice {
        Notice { path: unknown.path.clone(), message: unknown.message() }
    }
}

/// Holds what has been read against a table; what is unknown in it is reported as well.
pub fn admit<T>(table: &[Line], reading: &Reading<T>) -> Result<Vec<Notice>, Error> {
    let unknown = reading.unknown.iter().map(Notice::from);
    Ok(unknown.chain(apply(table, &reading.present)?).collect())
}

/// Holds the members of a document against a table: refuses the first that must be refused, reports those that
/// have no effect.
fn apply(table: &[Line], present: &[PresentMember]) -> Result<Vec<Notice>, Error> {
    let mut notices: Vec<Notice> = Vec::new();
    let mut settled: Vec<&str> = Vec::new();
    for member in present {
        if member.is_default || settled.iter().any(|path| is_below(&member.path, path)) {
            continue;
        }
        match treatment(table, member.owner, member.name).unwrap_or(Refused(LATER)) {
            Honoured => {}
            Inert(reason) => {
                settled.push(&member.path);
                notices.push(Notice {
                    path: member.path.clone(),
                    message: format!("{} was accepted and has no effect: {reason}", member.name),
                });
            }
            Refused(reason) => {
                return Err(Error::new(
                    Cause::NotSupported,
                    format!("{}.{} is not supported: {reason}", member.owner, member.name),
                )
                .at(member.path.clone())
                .hint(format!("Leave {} out.", member.name)));
            }
        }
    }
    Ok(notices)
}

/// What a table, or that of OCI specifications, says of a member; one that neither names is refused.
pub fn treatment(table: &[Line], owner: &str, name: &str) -> Option<Treatment> {
    let line = table.iter().chain(OCI).find(|line| line.0 == owner && line.1 == name);
    line.map(|line| line.2)
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use hcs_schema::{ComputeSystem, Document, Kind, ProcessParameters, Shape};

    use super::*;

    /// The document that a member holds, by itself or many times.
    fn shape_within(kind: Kind) -> Option<&'static Shape> {
        match kind {
            Kind::Document(shape) => Some(shape),
            Kind::Array(element, _) => shape_within(element()),
            Kind::Map(_, value) => shape_within(value()),
            _ => None,
        }
    }

    /// Every member that can be reached without passing through a refused or inert one is in the table.
    fn missing(table: &[Line], shape: &'static Shape, found: &mut Vec<String>) {
        for member in shape.members {
            match treatment(table, shape.name, member.name) {
                None => found.push(format!("{}.{}", shape.name, member.name)),
                Some(Honoured) => {
                    if let Some(inner) = shape_within((member.kind)()) {
                        missing(table, inner, found);
                    }
                }
                Some(_) => {}
            }
        }
    }

    #[test]
    fn every_member_of_the_schema_has_a_treatment() {
        let mut found = Vec::new();
        missing(CONTAINER, ComputeSystem::shape(), &mut found);
        missing(PROCESS, ProcessParameters::shape(), &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    fn apply_to(text: &str) -> Result<Vec<Notice>, Error> {
        apply(CONTAINER, &hcs_schema::read::<ComputeSystem>(text).unwrap().present)
    }

    #[test]
    fn an_inert_member_is_reported_once_with_its_path() {
        let notices = apply_to(
            r#"{"Container":{"RegistryChanges":{"AddValues":[{"Name":"a","Type":"DWord","DWordValue":1}]}}}"#,
        )
        .unwrap();
        assert_eq!(notices.len(), 1);
        assert_eq!(notices[0].path, "$.Container.RegistryChanges");
    }

    #[test]
    fn a_member_that_matters_is_refused_by_name_and_its_default_is_not() {
        let error =
            apply_to(r#"{"Container":{"AdditionalDeviceNamespace":{"Containers":[{}]}}}"#).unwrap_err();
        assert_eq!(error.cause, Cause::NotSupported);
        assert_eq!(error.path.as_deref(), Some("$.Container.AdditionalDeviceNamespace"));
        assert_eq!(
            apply_to(r#"{"Container":{"AdditionalDeviceNamespace":null,"Networking":{}}}"#).unwrap(),
            vec![]
        );
    }
}

//! What becomes of the members that no engine's table decides about: options, queries and requests, which the service or the C
//! library reads by itself.

use hcs_schema::Shape;

use super::{Policies, pages::Topic, shape};
use crate::Outcome;

/// Type, member, what becomes of it.
const LINES: &[(&str, &str, &str)] = &[
    ("ComputeSystem", "HostedSystem", "containers in machines: honoured"),
    (
        "ComputeSystem",
        "HostingSystemId",
        "containers in machines: honoured, the id of a running virtual machine",
    ),
    ("HostedSystem", "SchemaVersion", "honoured: Major must be 2"),
    ("HostedSystem", "Container", "honoured, as that of a container of the host"),
    ("HostedSystem", "OciSpecification", "honoured, instead of Container.OciSpecification"),
    ("HostedSystem", "OciBundlePath", "read and not needed: the specification has its own paths"),
    ("HostedSystem", "ScratchDirPath", "read and not needed: the specification has its own paths"),
    ("ProcessModifyRequest", "Operation", "honoured"),
    ("ProcessModifyRequest", "ConsoleSize", "honoured"),
    ("ProcessModifyRequest", "CloseHandle", "honoured"),
    ("ConsoleSize", "Height", "honoured"),
    ("ConsoleSize", "Width", "honoured"),
    (
        "CloseHandle",
        "Handle",
        "StdIn is honoured; the others are refused: the process writes straight into the caller's pipe",
    ),
    (
        "SignalProcessOptions",
        "Signal",
        "honoured: a number from 1 to 64; CtrlC and CtrlBreak are SIGINT, CtrlClose and CtrlLogOff SIGHUP, CtrlShutdown SIGTERM",
    ),
    ("StartOptions", "DestinationMigrationOptions", "refused: the options of a start are reserved"),
    ("DestinationMigrationOptions", "NetworkSettings", "refused with what holds it"),
    ("MigrationNetworkSettings", "SessionId", "refused with what holds it"),
    ("ShutdownOptions", "Mechanism", "read and not needed: each kind of system has one way to be asked"),
    ("ShutdownOptions", "Type", "Shutdown is honoured; Hibernate and Reboot are refused"),
    ("ShutdownOptions", "Force", "read and not needed: each kind of system has one way to be asked"),
    ("ShutdownOptions", "Reason", "read and not needed: each kind of system has one way to be asked"),
    ("CrashOptions", "Type", "honoured: there is one type"),
    ("PauseOptions", "SuspensionLevel", "Suspend is honoured; the others are refused"),
    ("PauseOptions", "HostedNotification", "read and not needed: no guest is told of a pause"),
    ("PauseNotification", "Reason", "read and not needed: no guest is told of a pause"),
    ("SaveOptions", "SaveType", "honoured"),
    ("SaveOptions", "SaveStateFilePath", "honoured, absolute, for ToFile; a template has none"),
    (
        "System_PropertyQuery",
        "PropertyTypes",
        "honoured: TerminateOnLastHandleClosed, SystemGUID, Statistics, Memory, ProcessList; of machines also \
         SharedMemoryRegion, GuestConnection, ICHeartbeatStatus. Others are refused by name",
    ),
    (
        "System_PropertyQuery",
        "Queries",
        "honoured: the same names, and Warnings and ConsoleImage; the failure of one is told in its response",
    ),
    ("ConsoleImageQuery", "Width", "honoured if it is that of the screen; pictures are not scaled"),
    ("ConsoleImageQuery", "Height", "honoured if it is that of the screen; pictures are not scaled"),
    ("ConsoleImageQuery", "Flags", "honoured: 1 puts the length in front of the picture"),
    ("SystemQuery", "Ids", "honoured, case does not matter"),
    ("SystemQuery", "Names", "honoured, case does not matter"),
    ("SystemQuery", "Types", "honoured"),
    ("SystemQuery", "Owners", "honoured"),
    ("ModifySettingRequest", "ResourcePath", "honoured; see the page of resource paths"),
    ("ModifySettingRequest", "RequestType", "honoured; see the page of resource paths"),
    ("ModifySettingRequest", "Settings", "honoured; see the page of resource paths"),
    ("ModifySettingRequest", "GuestRequest", "honoured for machines with an agent, alone or beside a path"),
    ("GuestModifySettingRequest", "ResourceType", "honoured by the agent; see the page of resource paths"),
    ("GuestModifySettingRequest", "RequestType", "honoured by the agent; see the page of resource paths"),
    ("GuestModifySettingRequest", "Settings", "honoured by the agent; see the page of resource paths"),
    (
        "Service_PropertyQuery",
        "PropertyTypes",
        "honoured: Basic, ProcessorTopology, CpuGroup, QoSCapabilities, Memory, ProcessorCapabilities; others are refused by name",
    ),
    (
        "Service_PropertyQuery",
        "PropertyQueries",
        "honoured: the same names; the failure of one is told in its response",
    ),
    (
        "ModificationRequest",
        "PropertyType",
        "CpuGroup is honoured; the others are refused: they mean nothing on Linux",
    ),
    ("ModificationRequest", "Settings", "honoured"),
    ("HostProcessorModificationRequest", "Operation", "honoured"),
    ("HostProcessorModificationRequest", "OperationDetails", "honoured"),
    ("CreateGroupOperation", "GroupId", "honoured"),
    ("CreateGroupOperation", "LogicalProcessorCount", "honoured: the length of LogicalProcessors"),
    ("CreateGroupOperation", "LogicalProcessors", "honoured"),
    ("DeleteGroupOperation", "GroupId", "honoured; a group in use is not deleted"),
    ("SetPropertyOperation", "GroupId", "honoured; that of a group with a machine in it is refused"),
    (
        "SetPropertyOperation",
        "PropertyCode",
        "0x10000 (capacity) is honoured where there is the cgroup controller; others are refused",
    ),
    ("SetPropertyOperation", "PropertyValue", "honoured"),
    ("LayerData", "SchemaVersion", "read and not needed"),
    (
        "LayerData",
        "Layers",
        "honoured by HcsAttachLayerStorageFilter, the nearest parent first; the other functions have no need of it",
    ),
    ("LayerData", "FilterType", "read and not needed: there is one kind of union"),
    ("ExportLayerOptions", "IsWritableLayer", "honoured: it must say what the layer is"),
    ("OsLayerOptions", "Type", "honoured"),
    ("OsLayerOptions", "DisableCiCacheOptimization", "read and not needed: there is no such cache"),
    ("OsLayerOptions", "SkipUpdateBcdForBoot", "honoured: the kernel is not copied out of the system"),
];

/// What becomes of a member.
pub fn of(owner: &str, member: &str) -> Option<String> {
    let line = LINES.iter().find(|(type_name, name, _)| *type_name == owner && *name == member);
    line.map(|(_, _, told)| (*told).to_owned())
}

/// Every member of what is read must be told of, and every line must tell of a member.
pub fn check(placed: &[(&Topic, Vec<&'static Shape>)], policies: &Policies) -> Outcome {
    if let Some((owner, name, _)) = LINES.iter().find(|(owner, name, _)| shape(owner).member(name).is_none())
    {
        return Err(format!("documents/requests.rs has a line for {owner}.{name}, which no document has"));
    }
    for (topic, shapes) in placed.iter().filter(|(topic, _)| !topic.is_only_written) {
        for shape in shapes {
            let untold = |member: &&hcs_schema::Member| {
                policies.of(shape, member).is_none() && of(shape.name, member.name).is_none()
            };
            if let Some(member) = shape.members.iter().find(untold) {
                return Err(format!(
                    "nothing says what becomes of {}.{} ({}); give it a line in documents/requests.rs",
                    shape.name, member.name, topic.page
                ));
            }
        }
    }
    Ok(())
}

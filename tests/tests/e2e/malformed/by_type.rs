//! A wrong value for each of many members: the tables say which member has which type, the rest follows.

use serde_json::{Value, json};

use super::{Case, INVALID_DATA, Target};

/// What a member holds, and so what it does not.
#[derive(Clone, Copy)]
enum Type {
    Text,
    Bool,
    U8,
    U16,
    U32,
    U64,
    I32,
    I64,
    Choice,
    Guid,
    Mac,
    Object,
    Array,
}

use Type::{Array, Bool, Choice, Guid, I32, I64, Mac, Object, Text, U8, U16, U32, U64};

impl Type {
    /// Values that are not of the type, as JSON.
    fn wrong(self) -> &'static [&'static str] {
        match self {
            Text => &["1", "true", "{}", "[\"a\"]"],
            Bool => &["\"true\"", "1", "[]"],
            U8 => &["-1", "256", "\"1\"", "1.5"],
            U16 => &["-1", "65536", "{}"],
            U32 => &["-1", "4294967296", "\"1\"", "0.5"],
            U64 => &["-1", "18446744073709551616", "\"1\"", "1e3"],
            I32 => &["2147483648", "-2147483649", "\"x\""],
            I64 => &["9223372036854775808", "-9223372036854775809", "false"],
            Choice => &["\"Nonsense\"", "0", "{}"],
            Guid => &["\"not-a-guid\"", "\"{00000000-0000-0000-0000-00000000000}\"", "5"],
            Mac => &["\"00-11-22\"", "\"GG-11-22-33-44-55\"", "17"],
            Object => &["1", "\"x\"", "[]", "true"],
            Array => &["1", "\"x\"", "{}"],
        }
    }
}

/// Members of the ComputeSystem document.
const COMPUTE_SYSTEM: &[(&str, Type)] = &[
    ("$.Owner", Text),
    ("$.SchemaVersion", Object),
    ("$.SchemaVersion.Major", U32),
    ("$.SchemaVersion.Minor", U32),
    ("$.HostingSystemId", Text),
    ("$.ShouldTerminateOnLastHandleClosed", Bool),
    ("$.Container", Object),
    ("$.Container.GuestOs", Object),
    ("$.Container.GuestOs.HostName", Text),
    ("$.Container.Storage", Object),
    ("$.Container.Storage.Path", Text),
    ("$.Container.Storage.Layers", Array),
    ("$.Container.Storage.Layers[0]", Object),
    ("$.Container.Storage.Layers[0].Id", Guid),
    ("$.Container.Storage.Layers[0].Path", Text),
    ("$.Container.Storage.Layers[0].PathType", Choice),
    ("$.Container.Storage.Layers[0].Cache", Choice),
    ("$.Container.Storage.QoS.IopsMaximum", U64),
    ("$.Container.Storage.QoS.BandwidthMaximum", U64),
    ("$.Container.MappedDirectories", Array),
    ("$.Container.MappedDirectories[0]", Object),
    ("$.Container.MappedDirectories[0].HostPath", Text),
    ("$.Container.MappedDirectories[0].HostPathType", Choice),
    ("$.Container.MappedDirectories[0].ReadOnly", Bool),
    ("$.Container.MappedPipes", Array),
    ("$.Container.MappedPipes[0].ContainerPipeName", Text),
    ("$.Container.Memory", Object),
    ("$.Container.Memory.SizeInMB", U64),
    ("$.Container.Processor.Count", U32),
    ("$.Container.Processor.Weight", I64),
    ("$.Container.Processor.Maximum", I64),
    ("$.Container.Networking.AllowUnqualifiedDnsQuery", Bool),
    ("$.Container.Networking.NetworkAdapters", Array),
    ("$.Container.HvSocket.Config.ServiceTable", Object),
    ("$.Container.HvSocket.EnablePowerShellDirect", Bool),
    ("$.Container.RegistryChanges.AddValues", Array),
    ("$.Container.RegistryChanges.AddValues[0].Key.Hive", Choice),
    ("$.Container.RegistryChanges.AddValues[0].DWordValue", U32),
    ("$.Container.RegistryChanges.AddValues[0].QWordValue", U64),
    ("$.Container.RegistryChanges.DeleteKeys[0].Volatile", Bool),
    ("$.Container.AssignedDevices[0].Type", Choice),
    ("$.VirtualMachine", Object),
    ("$.VirtualMachine.StopOnReset", Bool),
    ("$.VirtualMachine.Chipset.UseUtc", Bool),
    ("$.VirtualMachine.Chipset.LinuxKernelDirect.KernelFilePath", Text),
    ("$.VirtualMachine.ComputeTopology.Memory.SizeInMB", U64),
    ("$.VirtualMachine.ComputeTopology.Memory.BackingPageSize", Choice),
    ("$.VirtualMachine.ComputeTopology.Processor.Count", U32),
    ("$.VirtualMachine.Devices.ComPorts", Object),
    ("$.VirtualMachine.Devices.Scsi", Object),
    ("$.VirtualMachine.Devices.Scsi.boot.Attachments", Object),
    ("$.VirtualMachine.Devices.VirtualPMem.MaximumCount", U8),
    ("$.VirtualMachine.Devices.NetworkAdapters.nic.MacAddress", Mac),
    ("$.VirtualMachine.Devices.VideoMonitor.HorizontalResolution", U16),
    ("$.VirtualMachine.Devices.VirtualSmb.DirectFileMappingInMB", I64),
    ("$.VirtualMachine.Devices.Plan9.Shares[0].Port", U32),
];

/// Members of the other documents.
const OTHERS: &[(Target, &str, Type)] = &[
    (Target::CreateProcess, "$.ApplicationName", Text),
    (Target::CreateProcess, "$.CommandLine", Text),
    (Target::CreateProcess, "$.CommandArgs", Array),
    (Target::CreateProcess, "$.CommandArgs[0]", Text),
    (Target::CreateProcess, "$.User", Text),
    (Target::CreateProcess, "$.WorkingDirectory", Text),
    (Target::CreateProcess, "$.Environment", Object),
    (Target::CreateProcess, "$.Environment.PATH", Text),
    (Target::CreateProcess, "$.EmulateConsole", Bool),
    (Target::CreateProcess, "$.CreateStdInPipe", Bool),
    (Target::CreateProcess, "$.ConsoleSize", Array),
    (Target::Properties, "$.PropertyTypes", Array),
    (Target::Properties, "$.PropertyTypes[0]", Choice),
    (Target::Properties, "$.Queries", Object),
    (Target::Enumerate, "$.Ids", Array),
    (Target::Enumerate, "$.Names[0]", Text),
    (Target::Enumerate, "$.Types[0]", Choice),
    (Target::Enumerate, "$.Owners", Array),
    (Target::Modify, "$.ResourcePath", Text),
    (Target::Modify, "$.RequestType", Choice),
    (Target::Pause, "$.SuspensionLevel", Choice),
    (Target::Pause, "$.HostedNotification.Reason", Choice),
    (Target::ShutDown, "$.Mechanism", Choice),
    (Target::ShutDown, "$.Force", Bool),
    (Target::Save, "$.SaveType", Choice),
    (Target::Save, "$.SaveStateFilePath", Text),
    (Target::Crash, "$.Type", Choice),
    (Target::ModifyProcess, "$.Operation", Choice),
    (Target::ModifyProcess, "$.ConsoleSize", Object),
    (Target::ModifyProcess, "$.CloseHandle.Handle", Choice),
    (Target::ServiceProperties, "$.PropertyTypes[0]", Choice),
    (Target::ServiceProperties, "$.PropertyQueries", Object),
    (Target::ServiceSettings, "$.PropertyType", Choice),
    (Target::CrashReport, "$.SystemId", Text),
    (Target::CrashReport, "$.CrashParameters[0]", U64),
    (Target::CrashReport, "$.Status", I32),
];

/// A case for each wrong value of each member.
pub fn cases() -> Vec<Case> {
    let systems = COMPUTE_SYSTEM.iter().map(|(path, kind)| (Target::Create, *path, *kind));
    systems
        .chain(OTHERS.iter().copied())
        .flat_map(|(target, path, kind)| {
            kind.wrong().iter().map(move |value| Case {
                target,
                document: with(base(target), path, value),
                hresult: INVALID_DATA,
                place: path.to_owned(),
            })
        })
        .collect()
}

/// What is right around the mistake.
fn base(target: Target) -> Value {
    match target {
        Target::Create => json!({ "SchemaVersion": { "Major": 2, "Minor": 1 } }),
        _ => json!({}),
    }
}

/// Puts a value at a path. The value is JSON that need not survive a JSON library.
fn with(mut document: Value, path: &str, value: &str) -> String {
    const HERE: &str = "the wrong value";
    let mut at = &mut document;
    for step in path.replace('[', ".[").split('.').skip(1) {
        at = match step.strip_prefix('[') {
            Some(_) => {
                *at = json!([null]);
                &mut at[0]
            }
            None => {
                if !at.is_object() {
                    *at = json!({});
                }
                &mut at[step]
            }
        };
    }
    *at = json!(HERE);
    document.to_string().replace(&json!(HERE).to_string(), value)
}

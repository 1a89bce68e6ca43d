//! Mistakes of their own kind: versions, forms, ranges, contradictions, keys, duplicates, typos.

use super::{Case, INVALID_DATA, Target};

/// HCS_E_INVALID_JSON: structure that no parser should follow.
const INVALID_JSON: u32 = 0x8037_010D;
/// ERROR_NOT_SUPPORTED: known, and not possible here.
const NOT_SUPPORTED: u32 = 0x8007_0032;

type Line = (Target, &'static str, u32, &'static str);

const TABLE: &[Line] = &[
    // Not an object at all.
    (Target::Create, "[]", INVALID_DATA, "$"),
    (Target::Create, "null", INVALID_DATA, "$"),
    (Target::Create, "5", INVALID_DATA, "$"),
    (Target::Create, "\"{}\"", INVALID_DATA, "$"),
    (Target::CreateProcess, "[]", INVALID_DATA, "$"),
    (Target::CreateProcess, "null", INVALID_DATA, "$"),
    (Target::Modify, "[]", INVALID_DATA, "$"),
    (Target::Modify, "\"Update\"", INVALID_DATA, "$"),
    (Target::Properties, "[]", INVALID_DATA, "$"),
    (Target::Properties, "7", INVALID_DATA, "$"),
    (Target::Enumerate, "true", INVALID_DATA, "$"),
    (Target::Signal, "[]", INVALID_DATA, "$"),
    (Target::ModifyProcess, "0", INVALID_DATA, "$"),
    (Target::ServiceProperties, "[]", INVALID_DATA, "$"),
    (Target::ServiceSettings, "[]", INVALID_DATA, "$"),
    (Target::CrashReport, "[]", INVALID_DATA, "$"),
    // Versions and kinds.
    (Target::Create, "{}", INVALID_DATA, "$.SchemaVersion"),
    (Target::Create, r#"{"SchemaVersion":null}"#, INVALID_DATA, "$.SchemaVersion"),
    (Target::Create, r#"{"SchemaVersion":{}}"#, INVALID_DATA, "$.SchemaVersion.Major"),
    (Target::Create, r#"{"SchemaVersion":{"Minor":1}}"#, INVALID_DATA, "$.SchemaVersion.Major"),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":1},"Container":{}}"#,
        NOT_SUPPORTED,
        "$.SchemaVersion.Major",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":3},"Container":{}}"#,
        NOT_SUPPORTED,
        "$.SchemaVersion.Major",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":0},"Container":{}}"#,
        NOT_SUPPORTED,
        "$.SchemaVersion.Major",
    ),
    (Target::Create, r#"{"SchemaVersion":{"Major":2}}"#, INVALID_DATA, "$"),
    (Target::Create, r#"{"SchemaVersion":{"Major":2},"Container":null}"#, INVALID_DATA, "$"),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{},"VirtualMachine":{}}"#,
        INVALID_DATA,
        "$",
    ),
    (Target::Create, r#"{"SchemaVersion":{"Major":2},"Container":{},"HostedSystem":{}}"#, INVALID_DATA, "$"),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"VirtualMachine":{}}"#,
        INVALID_DATA,
        "$.VirtualMachine.ComputeTopology.Memory.SizeInMB",
    ),
    (Target::Create, r#"{"SchemaVersion":{"Major":2},"HostedSystem":{}}"#, INVALID_DATA, "$.HostingSystemId"),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"HostingSystemId":"vm","HostedSystem":{}}"#,
        INVALID_JSON,
        "$.HostedSystem.SchemaVersion",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"HostingSystemId":"vm",
            "HostedSystem":{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"x"}}}}"#,
        INVALID_DATA,
        "$.HostedSystem.Container.Storage.Path",
    ),
    // Members that say the same twice, or one that is there twice.
    (Target::Create, r#"{"Owner":"a","Owner":"b"}"#, INVALID_DATA, "$.Owner"),
    (Target::Create, r#"{"SchemaVersion":{"Major":2,"Major":2}}"#, INVALID_DATA, "$.SchemaVersion.Major"),
    (Target::Create, r#"{"Unknown":{"a":1,"a":2}}"#, INVALID_DATA, "$.Unknown.a"),
    (Target::CreateProcess, r#"{"CommandLine":"a","CommandLine":"a"}"#, INVALID_DATA, "$.CommandLine"),
    (Target::CreateProcess, r#"{"CommandLine":"id","CommandArgs":["id"]}"#, INVALID_DATA, "$.CommandArgs"),
    // What a container cannot be.
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{}}"#,
        INVALID_DATA,
        "$.Container.Storage.Path",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{}}}"#,
        INVALID_DATA,
        "$.Container.Storage.Path",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":""}}}"#,
        INVALID_DATA,
        "$.Container.Storage.Path",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"relative/path"}}}"#,
        INVALID_DATA,
        "$.Container.Storage.Path",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"C:\\layers"}}}"#,
        INVALID_DATA,
        "$.Container.Storage.Path",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"/a\u0000b"}}}"#,
        INVALID_DATA,
        "$.Container.Storage.Path",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"/"},"GuestOs":{"HostName":"a b"}}}"#,
        INVALID_DATA,
        "$.Container.GuestOs.HostName",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"/"},"GuestOs":{"HostName":"a/b"}}}"#,
        INVALID_DATA,
        "$.Container.GuestOs.HostName",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"/"},"Memory":{"SizeInMB":18446744073709551615}}}"#,
        INVALID_DATA,
        "$.Container.Memory.SizeInMB",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"/"},"Processor":{"Maximum":10001}}}"#,
        INVALID_DATA,
        "$.Container.Processor.Maximum",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"/"},"Processor":{"Maximum":-1}}}"#,
        INVALID_DATA,
        "$.Container.Processor.Maximum",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"/"},"Processor":{"Weight":10001}}}"#,
        INVALID_DATA,
        "$.Container.Processor.Weight",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"/"},"Processor":{"Weight":-7}}}"#,
        INVALID_DATA,
        "$.Container.Processor.Weight",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"/"},"Processor":{"Count":1,"Weight":5}}}"#,
        INVALID_DATA,
        "$.Container.Processor",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"/"},"Processor":{"Count":1,"Maximum":5}}}"#,
        INVALID_DATA,
        "$.Container.Processor",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"/"},"ContainerCredentialGuard":{"Cookie":"a"}}}"#,
        NOT_SUPPORTED,
        "$.Container.ContainerCredentialGuard",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2},"HostingSystemId":"vm","Container":{"Storage":{"Path":"/"}}}"#,
        INVALID_DATA,
        "$.HostingSystemId",
    ),
    // Keys of maps.
    (
        Target::Create,
        r#"{"VirtualMachine":{"Devices":{"Scsi":{"0":{"Attachments":{"x":{}}}}}}}"#,
        INVALID_DATA,
        "$.VirtualMachine.Devices.Scsi[\"0\"].Attachments.x",
    ),
    (
        Target::Create,
        r#"{"VirtualMachine":{"Devices":{"Scsi":{"a":{"Attachments":{"01":{}}}}}}}"#,
        INVALID_DATA,
        "$.VirtualMachine.Devices.Scsi.a.Attachments[\"01\"]",
    ),
    (
        Target::Create,
        r#"{"VirtualMachine":{"Devices":{"Scsi":{"a":{"Attachments":{"-1":{}}}}}}}"#,
        INVALID_DATA,
        "$.VirtualMachine.Devices.Scsi.a.Attachments[\"-1\"]",
    ),
    (
        Target::Create,
        r#"{"VirtualMachine":{"Devices":{"Scsi":{"a":{"Attachments":{"0":{"Type":"Floppy"}}}}}}}"#,
        INVALID_DATA,
        "$.VirtualMachine.Devices.Scsi.a.Attachments[\"0\"].Type",
    ),
    (
        Target::Create,
        r#"{"VirtualMachine":{"Devices":{"VirtualPMem":{"Devices":{"256":{}}}}}}"#,
        INVALID_DATA,
        "$.VirtualMachine.Devices.VirtualPMem.Devices[\"256\"]",
    ),
    (
        Target::Create,
        r#"{"Container":{"HvSocket":{"Config":{"ServiceTable":{"nope":{}}}}}}"#,
        INVALID_DATA,
        "$.Container.HvSocket.Config.ServiceTable.nope",
    ),
    // Typos, where they are not tolerated.
    (Target::StrictCreate, r#"{"Ownr":"me"}"#, INVALID_DATA, "$.Ownr"),
    (Target::StrictCreate, r#"{"owner":"me"}"#, INVALID_DATA, "$.owner"),
    (Target::StrictCreate, r#"{"SchemaVersion":{"Major":2,"Mior":1}}"#, INVALID_DATA, "$.SchemaVersion.Mior"),
    (Target::StrictCreate, r#"{"Container":{"Storge":{}}}"#, INVALID_DATA, "$.Container.Storge"),
    (
        Target::StrictCreate,
        r#"{"Container":{"Memory":{"SizeInMb":64}}}"#,
        INVALID_DATA,
        "$.Container.Memory.SizeInMb",
    ),
    (
        Target::StrictCreate,
        r#"{"Container":{"MappedDirectories":[{},{"Readonly":true}]}}"#,
        INVALID_DATA,
        "$.Container.MappedDirectories[1].Readonly",
    ),
    (Target::StrictCreate, r#"{"a-b":1}"#, INVALID_DATA, "$[\"a-b\"]"),
    // Processes.
    (Target::CreateProcess, "{}", INVALID_DATA, "$.CommandLine"),
    (Target::CreateProcess, r#"{"CommandLine":""}"#, INVALID_DATA, "$.CommandLine"),
    (Target::CreateProcess, r#"{"CommandLine":"   "}"#, INVALID_DATA, "$.CommandLine"),
    (Target::CreateProcess, r#"{"CommandLine":"sh -c 'x"}"#, INVALID_DATA, "$.CommandLine"),
    (Target::CreateProcess, r#"{"CommandArgs":[]}"#, INVALID_DATA, "$.CommandLine"),
    (Target::CreateProcess, r#"{"CommandArgs":[""]}"#, INVALID_DATA, "$.CommandLine"),
    (Target::CreateProcess, r#"{"CommandArgs":["id","a\u0000b"]}"#, INVALID_DATA, "$.CommandArgs[1]"),
    (
        Target::CreateProcess,
        r#"{"CommandArgs":["id"],"WorkingDirectory":"tmp"}"#,
        INVALID_DATA,
        "$.WorkingDirectory",
    ),
    (
        Target::CreateProcess,
        r#"{"CommandArgs":["id"],"Environment":{"A=B":"x"}}"#,
        INVALID_DATA,
        "$.Environment[\"A=B\"]",
    ),
    (
        Target::CreateProcess,
        r#"{"CommandArgs":["id"],"Environment":{"A":"\u0000"}}"#,
        INVALID_DATA,
        "$.Environment.A",
    ),
    (Target::CreateProcess, r#"{"CommandArgs":["id"],"User":"a\u0000"}"#, INVALID_DATA, "$.User"),
    (Target::CreateProcess, r#"{"CommandArgs":["id"],"ConsoleSize":[24]}"#, INVALID_DATA, "$.ConsoleSize"),
    (
        Target::CreateProcess,
        r#"{"CommandArgs":["id"],"ConsoleSize":[24,80,1]}"#,
        INVALID_DATA,
        "$.ConsoleSize",
    ),
    (
        Target::CreateProcess,
        r#"{"CommandArgs":["id"],"ConsoleSize":[24,65536]}"#,
        INVALID_DATA,
        "$.ConsoleSize[1]",
    ),
    (Target::Signal, r#"{"Signal":"CtrlX"}"#, INVALID_DATA, "$.Signal"),
    (Target::Signal, r#"{"Signal":0}"#, INVALID_DATA, "$.Signal"),
    (Target::Signal, r#"{"Signal":65}"#, INVALID_DATA, "$.Signal"),
    (Target::Signal, r#"{"Signal":-9}"#, INVALID_DATA, "$.Signal"),
    (Target::ModifyProcess, r#"{"ConsoleSize":{"Height":24}}"#, INVALID_DATA, "$.ConsoleSize.Width"),
    (
        Target::ModifyProcess,
        r#"{"ConsoleSize":{"Height":24,"Width":70000}}"#,
        INVALID_DATA,
        "$.ConsoleSize.Width",
    ),
    // Changes and queries.
    // Changes of a running container.
    (
        Target::Modify,
        r#"{"ResourcePath":"Container/Memory/SizeInMB","Settings":"much"}"#,
        INVALID_DATA,
        "$.Settings",
    ),
    (
        Target::Modify,
        r#"{"ResourcePath":"Container/Memory/SizeInMB","Settings":-1}"#,
        INVALID_DATA,
        "$.Settings",
    ),
    (
        Target::Modify,
        r#"{"ResourcePath":"Container/Memory/SizeInMB","RequestType":"Remove"}"#,
        INVALID_DATA,
        "$.RequestType",
    ),
    (Target::Modify, r#"{"ResourcePath":"Container/Processor","Settings":5}"#, INVALID_DATA, "$.Settings"),
    (
        Target::Modify,
        r#"{"ResourcePath":"Container/Processor","Settings":{"Maximum":10001}}"#,
        INVALID_DATA,
        "$.Settings.Maximum",
    ),
    (
        Target::Modify,
        r#"{"ResourcePath":"Container/Processor","Settings":{"Maximum":9,"Weight":9}}"#,
        INVALID_DATA,
        "$.Settings",
    ),
    (
        Target::Modify,
        r#"{"ResourcePath":"Container/MappedDirectories","RequestType":"Add","Settings":[]}"#,
        INVALID_DATA,
        "$.Settings",
    ),
    (
        Target::Modify,
        r#"{"ResourcePath":"Container/MappedDirectories","RequestType":"Add","Settings":{"HostPath":"/"}}"#,
        INVALID_DATA,
        "$.Settings.ContainerPath",
    ),
    (
        Target::Modify,
        r#"{"ResourcePath":"Container/MappedDirectories","RequestType":"Add","Settings":{"HostPath":"x","ContainerPath":"/x"}}"#,
        INVALID_DATA,
        "$.Settings.HostPath",
    ),
    // Networks.
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2,"Minor":1},"Container":{"Storage":{"Path":"/"},"Networking":{"Linux":{"Mode":"Wireless"}}}}"#,
        INVALID_DATA,
        "$.Container.Networking.Linux.Mode",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2,"Minor":1},"Container":{"Storage":{"Path":"/"},"Networking":{"Namespace":"../etc"}}}"#,
        INVALID_DATA,
        "$.Container.Networking.Namespace",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2,"Minor":1},"Container":{"Storage":{"Path":"/"},"Networking":{"DnsSearchList":"a\nnameserver 6.6.6.6"}}}"#,
        INVALID_DATA,
        "$.Container.Networking.DnsSearchList",
    ),
    (
        Target::Create,
        r#"{"SchemaVersion":{"Major":2,"Minor":1},"Container":{"Storage":{"Path":"/"},"Networking":{"NetworkSharedContainerName":"web"}}}"#,
        NOT_SUPPORTED,
        "$.Container.Networking.NetworkSharedContainerName",
    ),
    (Target::Modify, r#"{"ResourcePath":"Nonsense/Path","Settings":1}"#, INVALID_DATA, "$.ResourcePath"),
    (Target::Modify, r#"{"ResourcePath":"container/memory/sizeinmb"}"#, INVALID_DATA, "$.ResourcePath"),
    (
        Target::Modify,
        r#"{"ResourcePath":"VirtualMachine/Devices/Plan9/Shares","RequestType":"Add"}"#,
        NOT_SUPPORTED,
        "$.ResourcePath",
    ),
    (
        Target::Properties,
        r#"{"PropertyTypes":["Statistics","Nonsense"]}"#,
        INVALID_DATA,
        "$.PropertyTypes[1]",
    ),
    (Target::Properties, r#"{"PropertyTypes":["GuestConnection"]}"#, NOT_SUPPORTED, "$.PropertyTypes[0]"),
    (Target::Enumerate, r#"{"Types":["Container","Pod"]}"#, INVALID_DATA, "$.Types[1]"),
    (
        Target::ServiceProperties,
        r#"{"PropertyTypes":["Basic","Nonsense"]}"#,
        INVALID_DATA,
        "$.PropertyTypes[1]",
    ),
    (
        Target::ServiceProperties,
        r#"{"PropertyTypes":["ContainerCredentialGuard"]}"#,
        NOT_SUPPORTED,
        "$.PropertyTypes[0]",
    ),
    (Target::ServiceSettings, r#"{"PropertyType":"CpuGroup","Settings":5}"#, INVALID_DATA, "$.Settings"),
    (
        Target::ServiceSettings,
        r#"{"PropertyType":"CpuGroup","Settings":{"Operation":"Explode"}}"#,
        INVALID_DATA,
        "$.Settings.Operation",
    ),
    (
        Target::ServiceSettings,
        r#"{"PropertyType":"CpuGroup","Settings":{"Operation":"CreateGroup","OperationDetails":{"GroupId":"x"}}}"#,
        INVALID_DATA,
        "$.Settings.OperationDetails.GroupId",
    ),
];

/// The table, and what is too long to stand in it.
pub fn cases() -> Vec<Case> {
    let deep = |levels: usize| format!(r#"{{"HostedSystem":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    let long = format!(
        r#"{{"SchemaVersion":{{"Major":2}},"Container":{{"Storage":{{"Path":"/"}},"GuestOs":{{"HostName":"{}"}}}}}}"#,
        "x".repeat(65)
    );
    let too_long = [
        (Target::Create, deep(100), INVALID_JSON, "$.HostedSystem".to_owned() + &"[0]".repeat(63)),
        (Target::Create, long, INVALID_DATA, "$.Container.GuestOs.HostName".to_owned()),
    ];
    let table = TABLE
        .iter()
        .map(|(target, text, hresult, place)| (*target, (*text).to_owned(), *hresult, (*place).to_owned()));
    table
        .chain(too_long)
        .map(|(target, document, hresult, place)| Case { target, document, hresult, place })
        .collect()
}

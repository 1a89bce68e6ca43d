//! Good documents: those that clients are known to send are read without a remark and written unchanged.

// Helpers of tests may unwrap as the tests themselves may.
#![expect(clippy::unwrap_used, reason = "a panic is the message")]

use hcs_schema::*;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Documents by type: those of the clients, and what they get back.
const DOCUMENTS: &str = include_str!("data/documents.json");

fn accept<T: Document + Clone + PartialEq + std::fmt::Debug>(text: &str) {
    let reading = read::<T>(text).unwrap_or_else(|error| panic!("{error} in {text}"));
    assert_eq!(reading.unknown, [], "{text}");
    assert_eq!(read_strict::<T>(text).unwrap(), reading.value);
    let written = serde_json::to_string(&reading.value).unwrap();
    let json = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(json(&written), json(text));
    assert_eq!(read::<T>(&written).unwrap().value, reading.value);
}

macro_rules! accept_by_name {
    ($name:expr, $text:expr; $($type:ident)+) => {
        match $name {
            $(stringify!($type) => accept::<$type>($text),)+
            other => panic!("no type {other} in this list"),
        }
    };
}

#[test]
fn client_documents_are_read_and_written_unchanged() {
    let documents: BTreeMap<&str, Vec<&RawValue>> = serde_json::from_str(DOCUMENTS).unwrap();
    let mut count = 0;
    for (name, texts) in documents {
        for text in texts {
            count += 1;
            accept_by_name!(name, text.get();
                Attachment ComputeSystem ContainerProcessor CpuGroup CrashReport ExportLayerOptions
                FlexibleIoDevice GpuConfiguration GuestModifySettingRequest HvSocketServiceConfig LayerData
                MappedDirectory ModificationRequest ModifySettingRequest NetworkAdapter OsLayerOptions
                PauseOptions Plan9Share ProcessModifyRequest ProcessParameters ProcessStatus ProcessorLimits
                Properties RegistryFlushState ResultError SaveOptions ServiceProperties ServicePropertyQuery
                SignalProcessOptions StartOptions SystemExitStatus SystemPropertyQuery SystemQuery
                VirtualPMemDevice VirtualPMemMapping VirtualPciDevice VirtualSmbShare);
        }
    }
    assert!(count > 90);
}

#[test]
fn setters_make_the_document() {
    let system = ComputeSystem::default()
        .owner("demo")
        .schema_version(Version::default().major(2u32).minor(1u32))
        .should_terminate_on_last_handle_closed(true)
        .container(
            Container::default()
                .guest_os(GuestOs::default().host_name("c1"))
                .memory(ContainerMemory::default().size_in_mb(0u64))
                .mapped_directories([MappedDirectory::default().host_path("/data").read_only(false)]),
        );
    let text = concat!(
        r#"{"Owner":"demo","SchemaVersion":{"Major":2,"Minor":1},"Container":{"GuestOs":{"HostName":"c1"},"#,
        r#""MappedDirectories":[{"HostPath":"/data","ReadOnly":false}],"Memory":{"SizeInMB":0}},"#,
        r#""ShouldTerminateOnLastHandleClosed":true}"#
    );
    assert_eq!(serde_json::to_string(&system).unwrap(), text);
    assert_eq!(read::<ComputeSystem>(text).unwrap().value, system);
}

#[test]
fn integers_are_exact_at_their_bounds() {
    fn exact<T: Document + PartialEq + std::fmt::Debug>(text: &str, value: T) {
        assert_eq!(read::<T>(text).unwrap().value, value);
        assert_eq!(serde_json::to_string(&value).unwrap(), text);
    }
    exact(r#"{"SizeInMB":18446744073709551615}"#, ContainerMemory::default().size_in_mb(u64::MAX));
    exact(r#"{"SizeInMB":9007199254740993}"#, ContainerMemory::default().size_in_mb(9007199254740993u64));
    exact(r#"{"Weight":-9223372036854775808}"#, ContainerProcessor::default().weight(i64::MIN));
    exact(r#"{"Maximum":9223372036854775807}"#, ContainerProcessor::default().maximum(i64::MAX));
    exact(r#"{"Count":4294967295}"#, ContainerProcessor::default().count(u32::MAX));
    exact(r#"{"Error":-2147483648}"#, ResultError::default().error(i32::MIN));
    exact(r#"{"Error":2147483647}"#, ResultError::default().error(i32::MAX));
    exact(r#"{"Lun":255}"#, MappedVirtualDisk::default().lun(255));
    exact(r#"{"EventId":65535}"#, ErrorEvent::default().event_id(u16::MAX));
    exact(r#"{"ConsoleSize":[0,65535]}"#, ProcessParameters::default().console_size([0, u16::MAX]));
}

#[test]
fn any_is_kept_letter_for_letter() {
    let settings =
        r#"{"z": 1.50e3,"a":[ 0.10, -0, 1E+2 ],"big":123456789012345678901234567890,"t":"\u0041\/"}"#;
    let text = format!(r#"{{"RequestType":"Add","Settings": {settings} }}"#);
    let request = read::<ModifySettingRequest>(&text).unwrap().value;
    let any = request.settings.clone().unwrap();
    assert_eq!(any.get(), settings);
    assert_eq!(
        serde_json::to_string(&request).unwrap(),
        format!(r#"{{"RequestType":"Add","Settings":{settings}}}"#)
    );
    for bare in ["2048", "\"text\"", "[]", "false"] {
        let text = format!(r#"{{"Settings":{bare}}}"#);
        assert_eq!(read::<ModifySettingRequest>(&text).unwrap().value.settings.unwrap().get(), bare);
    }
    assert_eq!(Any::default().get(), "null");
    assert_eq!(Any::from_value(&vec![1, 2]).unwrap(), Any::from_text("[1,2]").unwrap());
    assert_ne!(Any::from_text("1.0").unwrap(), Any::from_text("1").unwrap());
    assert!(Any::from_text("{").is_err());
}

#[test]
fn any_is_read_where_it_stands() {
    let request = read::<ModifySettingRequest>(r#"{"Settings":{"Path":"/x","ReadOnly":1}}"#).unwrap().value;
    let settings = request.settings.unwrap();
    let error = settings.read_at::<Attachment>("$.Settings").unwrap_err();
    assert_eq!(error.to_string(), "$.Settings.ReadOnly: found 1, expected true or false");
    let settings = Any::from_text(r#"{"Path":"/x","Readonly":true}"#).unwrap();
    let reading = settings.read_at::<Attachment>("$.Settings").unwrap();
    assert_eq!(reading.value.path.as_deref(), Some("/x"));
    assert_eq!(reading.unknown[0].path, "$.Settings.Readonly");
}

#[test]
fn null_is_absent() {
    let text = r#"{"Owner":null,"Container":{"Memory":null,"AssignedDevices":null},"HostedSystem":null}"#;
    let reading = read::<ComputeSystem>(text).unwrap();
    assert_eq!(reading.value, ComputeSystem::default().container(Container::default()));
    let present: Vec<_> = reading.present.iter().map(|member| member.path.as_str()).collect();
    assert_eq!(present, ["$.Container"]);
    assert_eq!(read::<SignalProcessOptions>(r#"{"Signal":null}"#).unwrap().value.signal, None);
}

#[test]
fn unknown_members_are_reported_with_a_suggestion() {
    let text = r#"{"VirtualMachine":{"Chipset":{"Uefii":{"X":[1]},"useutc":true},"Devices":{"Scsi":{"a-b":
        {"Attachments":{"0":{"Typ":"Iso"}}}},"FlexibleWhatever":null}}}"#;
    let reading = read::<ComputeSystem>(text).unwrap();
    let said: Vec<_> = reading.unknown.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "$.VirtualMachine.Chipset.Uefii: unknown member, ignored; did you mean 'Uefi'?",
            "$.VirtualMachine.Chipset.useutc: unknown member, ignored; did you mean 'UseUtc'?",
            concat!(
                r#"$.VirtualMachine.Devices.Scsi["a-b"].Attachments["0"].Typ: unknown member, ignored; "#,
                "did you mean 'Type'?"
            ),
            "$.VirtualMachine.Devices.FlexibleWhatever: unknown member, ignored",
        ]
    );
    let error = read_strict::<ComputeSystem>(text).unwrap_err();
    assert_eq!(error.kind, DocumentErrorKind::Unknown);
    assert_eq!(
        error.to_string(),
        "$.VirtualMachine.Chipset.Uefii: found an unknown member, expected a member of Chipset; \
         did you mean 'Uefi'?"
    );
}

#[test]
fn present_members_come_in_document_order() {
    let text = r#"{"Container":{"Storage":{"Path":"/c","Layers":[{"Path":"/a"},{"Id":null,"Path":"/b"}]},
        "Memory":{"SizeInMB":1},"OciSpecification":{"root":{}},"Zzz":1}}"#;
    let reading = read::<ComputeSystem>(text).unwrap();
    let present: Vec<_> =
        reading.present.iter().map(|member| (member.path.as_str(), member.owner, member.name)).collect();
    assert_eq!(
        present,
        [
            ("$.Container", "ComputeSystem", "Container"),
            ("$.Container.Storage", "Container", "Storage"),
            ("$.Container.Storage.Path", "Storage", "Path"),
            ("$.Container.Storage.Layers", "Storage", "Layers"),
            ("$.Container.Storage.Layers[0].Path", "Layer", "Path"),
            ("$.Container.Storage.Layers[1].Path", "Layer", "Path"),
            ("$.Container.Memory", "Container", "Memory"),
            ("$.Container.Memory.SizeInMB", "Container_Memory", "SizeInMB"),
            ("$.Container.OciSpecification", "Container", "OciSpecification"),
            ("$.Container.OciSpecification.root", "OciSpecification", "root"),
        ]
    );
}

#[test]
fn members_that_hold_their_default_are_told_apart() {
    let text = r#"{"HostPathType":"AbsolutePath","HostPath":"","ReadOnly":false,"ContainerPath":"/x"}"#;
    let defaults = |present: Vec<PresentMember>| -> Vec<_> {
        present.into_iter().filter(|member| member.is_default).map(|member| member.name).collect()
    };
    assert_eq!(
        defaults(read::<MappedDirectory>(text).unwrap().present),
        ["HostPathType", "HostPath", "ReadOnly"]
    );
    let text = r#"{"Plan9":{},"Scsi":{},"ComPorts":{"0":{}},"VirtualPMem":{"MaximumCount":0}}"#;
    assert_eq!(defaults(read::<Devices>(text).unwrap().present), ["Scsi", "MaximumCount"]);
    let text = r#"{"Settings":0,"RequestType":"Add"}"#;
    assert_eq!(defaults(read::<ModifySettingRequest>(text).unwrap().present), ["RequestType"]);
}

#[test]
fn spellings_that_clients_use_are_accepted() {
    let layer = |text: &str| read::<Layer>(text).unwrap().value;
    let guid: Guid = "5f3b3c1e-0f3a-5d1f-9a6b-0b3f5f6b7a01".parse().unwrap();
    assert_eq!(layer(r#"{"Id":"{5F3B3C1E-0f3a-5d1f-9a6b-0b3f5f6b7a01}"}"#), Layer::default().id(guid));
    assert_eq!(layer(r#"{"Cache":""}"#), Layer::default().cache(CacheMode::Unspecified));
    assert_eq!(layer(r#"{"Cache":"Unspecified"}"#), layer(r#"{"Cache":""}"#));
    let os = read::<Properties>(r#"{"RuntimeOsType":""}"#).unwrap().value;
    assert_eq!(serde_json::to_string(&os).unwrap(), r#"{"RuntimeOsType":"Unknown"}"#);
    let mac = read::<NetworkAdapter>(r#"{"MacAddress":"00:15:5d:01:02:03"}"#).unwrap().value;
    assert_eq!(serde_json::to_string(&mac).unwrap(), r#"{"MacAddress":"00-15-5D-01-02-03"}"#);
    let options = |text: &str| read::<SignalProcessOptions>(text).unwrap().value.signal.unwrap();
    assert_eq!(options(r#"{"Signal":15}"#), Signal::Number(15));
    assert_eq!(options(r#"{"Signal":"CtrlC"}"#), Signal::Name(ProcessSignal::CtrlC));
    let table = r#"{"ServiceTable":{"{00000001-FACB-11e6-bd58-64006a7986d3}":{"Disabled":true}}}"#;
    assert!(
        read::<HvSocketSystemConfig>(table)
            .unwrap()
            .value
            .service_table
            .unwrap()
            .contains_key("{00000001-FACB-11e6-bd58-64006a7986d3}")
    );
    let escaped = "{\"Owner\":\"a\\u00e9\\ud83d\\ude00\\n\"}";
    assert_eq!(read::<ComputeSystem>(escaped).unwrap().value.owner.as_deref(), Some("aé😀\n"));
}

#[test]
fn enumerations_know_their_values() {
    assert_eq!(State::default(), State::Created);
    assert_eq!(CacheMode::default(), CacheMode::Unspecified);
    assert_eq!(State::ALL.len(), 6);
    assert_eq!(XsaveProcessorFeature::XsaveOpt.as_str(), "Xsave_Opt");
    assert_eq!(ObjectDirectoryShadow::parse("ifexists"), Some(ObjectDirectoryShadow::Ifexists));
    assert_eq!(OsType::parse("windows"), None);
    assert_eq!(NotificationType::None.to_string(), "None");
    for feature in ProcessorFeature::ALL {
        assert_eq!(ProcessorFeature::parse(feature.as_str()), Some(*feature));
    }
}

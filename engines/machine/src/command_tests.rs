use hcs_core::SystemId;
use hcs_schema::ComputeSystem;

use super::*;

fn plan(text: &str) -> Plan {
    let reading = hcs_schema::read::<ComputeSystem>(text).unwrap();
    let id = SystemId::new("a,b").unwrap();
    Plan::new(&reading, id.as_str(), id.runtime_id(), "hcs").unwrap().0
}

#[test]
fn a_document_becomes_this_command_line() {
    let mut plan = plan(
        r#"{"SchemaVersion":{"Major":2,"Minor":1},"VirtualMachine":{
            "StopOnReset":true,"GuestConnection":{},
            "Chipset":{"UseUtc":true,"BaseBoardSerialNumber":"B1","ChassisAssetTag":"T",
                "LinuxKernelDirect":{"KernelFilePath":"/k","InitRdPath":"/i","KernelCmdLine":"console=ttyS0, quiet"}},
            "ComputeTopology":{"Memory":{"SizeInMB":256,"EnableHotHint":true},"Processor":{"Count":2,"Limit":50000,"Weight":200}},
            "Devices":{
                "Scsi":{"one":{"Attachments":{"10":{"Type":"Iso","Path":"/c"},"2":{"Type":"VirtualDisk","Path":"/d"}}}},
                "ComPorts":{"0":{"NamedPipe":"/s"},"1":{}},
                "NetworkAdapters":{"a":{"MacAddress":"00-15-5D-01-02-03","Linux":{"Mode":"Bridge","Name":"br0"}}},
                "VirtioSerial":{"Ports":{"3":{"NamedPipe":"/p","Name":"agent"}}}}}}"#,
    );
    assert_eq!(plan.processors.limits().cpu_quota, Some([100_000, 100_000]));
    assert_eq!(plan.processors.limits().cpu_weight, Some(200));
    assert_eq!(plan.sockets().collect::<Vec<_>>(), ["/s", "/p"]);
    let numbers = Numbers {
        kernel: Some(10),
        initrd: Some(11),
        kvm: None,
        disks: vec![vec![
            Medium { file: 12, layout: Layout::Driver("vhdx") },
            Medium { file: 13, layout: Layout::Plain(4096) },
        ]],
        serial_ports: [Some(14), None],
        virtio_ports: vec![15],
        adapters: vec![Some(16)],
        log: 17,
        memory: [Some(18), Some(19)],
        guest: Some(20),
        ..Numbers::default()
    };
    let expected = include_str!("command.golden").trim_end();
    plan.host.memory_mib = 1024;
    let lines = arguments(&plan, &numbers);
    let mut text = String::new();
    for word in &lines {
        let joint = if text.is_empty() {
            ""
        } else if word.starts_with('-') {
            "\n"
        } else {
            " "
        };
        text += &format!("{joint}{word}");
    }
    assert_eq!(text.replace(&plan.runtime_id, "2467be9f-cbf2-5d8a-8eab-f5d9c0e18a4d"), expected);
}

#[test]
fn places_for_devices_of_applications_are_all_that_a_document_adds_to_the_command_line() {
    let of = |devices: &str| {
        let plan = plan(&format!(
            r#"{{"SchemaVersion":{{"Major":2,"Minor":1}},"VirtualMachine":{{
                "Chipset":{{"LinuxKernelDirect":{{"KernelFilePath":"/k"}}}},
                "ComputeTopology":{{"Memory":{{"SizeInMB":64}}}},"Devices":{{{devices}}}}}}}"#
        ));
        arguments(&plan, &Numbers { kernel: Some(10), ..Numbers::default() })
    };
    let (without, empty) = (of(""), of(r#""FlexibleIov":{}"#));
    let entry = r#""FlexibleIov":{"3f2504e0-4f89-11d3-9a0c-0305e82c3301":
        {"EmulatorId":"872270E1-A899-4AF6-B454-7193634435AD","HostingModel":"External"}}"#;
    // The device itself comes when QEMU runs.
    assert_eq!(of(entry), empty);
    let added: Vec<&String> = empty.iter().filter(|word| !without.contains(word)).collect();
    assert_eq!(added.len(), 8);
    assert_eq!(
        added[0],
        "pcie-root-port,id=slot16,chassis=16,slot=16,addr=0x12.0,multifunction=on,io-reserve=0"
    );
    assert_eq!(
        added[7],
        "pcie-root-port,id=slot23,chassis=23,slot=23,addr=0x12.7,multifunction=on,io-reserve=0"
    );
}

#[test]
fn a_machine_that_goes_on_begins_without_devices_of_applications() {
    let (detail, path) = refusal(
        r#"{"Chipset":{"LinuxKernelDirect":{"KernelFilePath":"/k"}},"ComputeTopology":{"Memory":{"SizeInMB":64}},
            "RestoreState":{"SaveStateFilePath":"/s"},
            "Devices":{"FlexibleIov":{"3f2504e0-4f89-11d3-9a0c-0305e82c3301":
                {"EmulatorId":"872270E1-A899-4AF6-B454-7193634435AD","HostingModel":"External"}}}}"#,
    );
    let expected = r#"$.VirtualMachine.Devices.FlexibleIov["3f2504e0-4f89-11d3-9a0c-0305e82c3301"]"#;
    assert_eq!(path.as_deref(), Some(expected), "{detail}");
}

fn refusal(text: &str) -> (String, Option<String>) {
    let text = format!(r#"{{"SchemaVersion":{{"Major":2,"Minor":1}},"VirtualMachine":{text}}}"#);
    let reading = hcs_schema::read::<ComputeSystem>(&text).unwrap();
    let id = SystemId::new("vm").unwrap();
    let error = Plan::new(&reading, id.as_str(), id.runtime_id(), "hcs").unwrap_err();
    (error.detail, error.path)
}

#[test]
fn what_cannot_be_is_refused_where_it_stands() {
    let with = |rest: &str| {
        format!(
            r#"{{"Chipset":{{"LinuxKernelDirect":{{"KernelFilePath":"/k"}}}},"ComputeTopology":{{"Memory":{{"SizeInMB":64}}}}{rest}}}"#
        )
    };
    for (text, at) in [
        (r#"{"ComputeTopology":{"Memory":{"SizeInMB":64}}}"#.to_owned(), "$.VirtualMachine.Chipset"),
        (
            r#"{"Chipset":{"Uefi":{"StopOnBootFailure":true}},"ComputeTopology":{"Memory":{"SizeInMB":64}}}"#.to_owned(),
            "$.VirtualMachine.Chipset.Uefi.StopOnBootFailure",
        ),
        (
            r#"{"Chipset":{"LinuxKernelDirect":{"KernelFilePath":"k"}},"ComputeTopology":{"Memory":{"SizeInMB":64}}}"#.to_owned(),
            "$.VirtualMachine.Chipset.LinuxKernelDirect.KernelFilePath",
        ),
        (r#"{}"#.to_owned(), "$.VirtualMachine.ComputeTopology.Memory.SizeInMB"),
        (
            r#"{"ComputeTopology":{"Memory":{"SizeInMB":65}}}"#.to_owned(),
            "$.VirtualMachine.ComputeTopology.Memory.SizeInMB",
        ),
        (
            r#"{"ComputeTopology":{"Memory":{"SizeInMB":64},"Processor":{"Limit":100001}}}"#.to_owned(),
            "$.VirtualMachine.ComputeTopology.Processor.Limit",
        ),
        (
            with(r#","Devices":{"Scsi":{"x":{"Attachments":{"0":{"Type":"ExtensibleVirtualDisk","Path":"/d"}}}}}"#),
            "$.VirtualMachine.Devices.Scsi[\"x\"].Attachments[\"0\"].Type",
        ),
        (
            with(r#","Devices":{"ComPorts":{"0":{"NamedPipe":"\\\\.\\pipe\\x"}}}"#),
            "$.VirtualMachine.Devices.ComPorts[\"0\"].NamedPipe",
        ),
        (
            with(r#","Devices":{"VirtioSerial":{"Ports":{"1":{"Name":"agent"}}}}"#),
            "$.VirtualMachine.Devices.VirtioSerial.Ports[\"1\"].NamedPipe",
        ),
    ] {
        let (detail, path) = refusal(&text);
        assert_eq!(path.as_deref(), Some(at), "{detail}");
    }
}

#[test]
fn an_agent_that_speaks_by_sockets_has_the_device_for_them_and_no_port() {
    let of = |rest: &str| {
        let plan = plan(&format!(
            r#"{{"SchemaVersion":{{"Major":2,"Minor":1}},"VirtualMachine":{{
                "Chipset":{{"LinuxKernelDirect":{{"KernelFilePath":"/k"}}}},
                "ComputeTopology":{{"Memory":{{"SizeInMB":64}}}}{rest}}}}}"#
        ));
        (plan.guest, plan.guest_by_sockets, plan.has_sockets)
    };
    assert_eq!(of(""), (false, false, false));
    assert_eq!(of(r#","GuestConnection":{}"#), (true, false, false));
    assert_eq!(of(r#","GuestConnection":{"UseVsock":false},"Devices":{"HvSocket":{}}"#), (true, false, true));
    assert_eq!(of(r#","GuestConnection":{"UseVsock":true}"#), (true, true, true));
}

#[test]
fn controllers_are_in_the_order_in_which_agents_count_them() {
    let plan = plan(
        r#"{"SchemaVersion":{"Major":2,"Minor":1},"VirtualMachine":{
            "Chipset":{"LinuxKernelDirect":{"KernelFilePath":"/k"}},"ComputeTopology":{"Memory":{"SizeInMB":64}},
            "Devices":{"Scsi":{"305891a9-b251-5dfe-91a2-c25d9212275b":{},"{0110F83B-DE10-5172-A266-78BCA56BF50A}":{},
                "df6d0690-79e5-55b6-a5ec-c1e2f77f580a":{},"1":{}}}}}"#,
    );
    let keys: Vec<&str> = plan.controllers.iter().map(|controller| controller.key.as_str()).collect();
    let first = ["df6d0690-79e5-55b6-a5ec-c1e2f77f580a", "{0110F83B-DE10-5172-A266-78BCA56BF50A}"];
    assert_eq!(keys, [first[0], first[1], "305891a9-b251-5dfe-91a2-c25d9212275b", "1"]);
}

#[test]
fn what_is_left_out_of_a_command_line_is_told_where_it_stands() {
    let of = |chipset: &str| {
        let text = format!(
            r#"{{"SchemaVersion":{{"Major":2,"Minor":1}},"VirtualMachine":{{"Chipset":{chipset},
            "ComputeTopology":{{"Memory":{{"SizeInMB":64}}}}}}}}"#
        );
        let reading = hcs_schema::read::<ComputeSystem>(&text).unwrap();
        let id = SystemId::new("vm").unwrap();
        let (plan, notices) = Plan::new(&reading, id.as_str(), id.runtime_id(), "hcs").unwrap();
        let paths = notices.into_iter().map(|notice| notice.path).collect::<Vec<_>>();
        (plan.boot.kernel().unwrap().command_line.clone(), paths)
    };
    assert_eq!(
        of(r#"{"LinuxKernelDirect":{"KernelFilePath":"/k","KernelCmdLine":"quiet pci=off"}}"#),
        ("quiet ".to_owned(), vec!["$.VirtualMachine.Chipset.LinuxKernelDirect.KernelCmdLine".to_owned()])
    );
    assert_eq!(
        of(r#"{"Uefi":{"BootThis":{"DeviceType":"VmbFs","VmbFsRootPath":"/f","DevicePath":"\\k",
            "OptionalData":"initrd=/i pci=off quiet"}}}"#),
        ("quiet".to_owned(), vec!["$.VirtualMachine.Chipset.Uefi.BootThis.OptionalData".to_owned()])
    );
}

#[test]
fn a_keyboard_without_a_screen_is_told_to_have_no_effect() {
    let notices = |devices: &str| {
        let text = format!(
            r#"{{"SchemaVersion":{{"Major":2,"Minor":1}},"VirtualMachine":{{"Chipset":{{"LinuxKernelDirect":{{"KernelFilePath":"/k"}}}},
            "ComputeTopology":{{"Memory":{{"SizeInMB":64}}}},"Devices":{devices}}}}}"#
        );
        let reading = hcs_schema::read::<ComputeSystem>(&text).unwrap();
        let id = SystemId::new("vm").unwrap();
        let (_, notices) = Plan::new(&reading, id.as_str(), id.runtime_id(), "hcs").unwrap();
        notices.into_iter().map(|notice| notice.path).collect::<Vec<_>>()
    };
    assert_eq!(notices(r#"{"Keyboard":{}}"#), ["$.VirtualMachine.Devices.Keyboard"]);
    assert!(notices(r#"{"Keyboard":{},"VideoMonitor":{}}"#).is_empty());
}

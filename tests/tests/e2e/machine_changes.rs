//! Virtual machines that are changed while they run, as their guests see it.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixListener,
    path::Path,
    time::Duration,
};

use hcs::{
    Cause, System,
    schema::{
        Any, Attachment, AttachmentType, CpuGroup, Guid, ModifyRequestType, ModifySettingRequest,
        NetworkAdapter, NetworkLinux, NetworkMode, Scsi, SystemPropertyQuery, SystemPropertyType,
    },
};
use hcs_tests::{
    Service, host,
    machine::{Console, Guest, SHELL, with_memory},
    processes, until,
};
use serde_json::json;

use crate::refused;

/// A request to change something of a machine.
fn request(path: &str, kind: Option<ModifyRequestType>, settings: serde_json::Value) -> ModifySettingRequest {
    let mut request = ModifySettingRequest::default()
        .resource_path(format!("VirtualMachine/{path}"))
        .settings(Any::from_value(&settings).unwrap());
    request.request_type = kind;
    request
}

/// The memory that is assigned to a machine, in MiB.
fn assigned(system: &System) -> u64 {
    let query = SystemPropertyQuery::default().property_types(vec![SystemPropertyType::Memory]);
    let memory = system.properties(Some(&query)).wait().unwrap().memory.unwrap();
    memory.virtual_machine_memory.unwrap().assigned_memory.unwrap() >> 8
}

#[test]
fn memory_grows_and_shrinks_as_the_guest_sees_it() {
    const SIZE: &str = "ComputeTopology/Memory/SizeInMB";
    let mut service = Service::start();
    service.be_patient();
    let guest = Guest::make(service.root(), &format!("load virtio_balloon; load virtio_mem; {SHELL}"));
    let document = guest.document_with(|machine| with_memory(machine, 1024));
    let system = service.running_from("vm", &document);
    assert_eq!(assigned(&system), 1024);
    let mut console = guest.console();
    // The guest still boots: it follows when it can, unless a busy host has it boot for longer than is waited.
    let grow = || system.modify(&request(SIZE, None, json!(2048))).wait();
    let grown = grow();
    console.until("ready");
    if let Err(error) = grown {
        assert_eq!(error.cause, Cause::DeadlineExceeded, "{error}");
        grow().unwrap();
    }
    assert_eq!(assigned(&system), 2048);
    let mut total = || -> u64 {
        let said = console.run("grep MemTotal /proc/meminfo");
        said.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
    };
    let grown = total();
    assert!((1850..=2048).contains(&grown), "{grown}");
    system.modify(&request(SIZE, Some(ModifyRequestType::Update), json!(1536))).wait().unwrap();
    let shrunk = total();
    assert!((1340..=1536).contains(&shrunk), "{shrunk}");
    // Below what it has booted with.
    system.modify(&request(SIZE, None, json!(512))).wait().unwrap();
    assert_eq!(assigned(&system), 512);
    let small = total();
    assert!((330..=512).contains(&small), "{small}");

    let error = refused(system.modify(&request(SIZE, None, json!(1 << 20))).wait(), Cause::OutOfMemory);
    assert!(error.message.contains("may have"), "{error}");
    refused(system.modify(&request(SIZE, None, json!(1025))).wait(), Cause::InvalidData);
    system.pause(None).wait().unwrap();
    refused(system.modify(&request(SIZE, None, json!(1024))).wait(), Cause::InvalidState);
    system.terminate().wait().unwrap();
    service.await_nothing_left();
}

#[test]
fn disks_come_and_go() {
    let service = Service::start();
    let guest = Guest::make(service.root(), SHELL);
    let image = |name: &str, text: &str| {
        let path = service.root().join(name);
        let mut bytes = vec![0; 1 << 20];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        fs::write(&path, bytes).unwrap();
        host("chmod", &["666", path.to_str().unwrap()]);
        path.display().to_string()
    };
    let (first, second, third) = (image("a", "first"), image("b", "second"), image("c", "third"));
    let disk = |path: &str| Attachment::default().type_(AttachmentType::VirtualDisk).path(path);
    let document = guest.document_with(|machine| {
        let devices = machine.devices.clone().unwrap_or_default();
        let scsi = Scsi::default().attachments([("0".to_owned(), disk(&first))]);
        machine.devices(devices.scsi([("one".to_owned(), scsi)]))
    });
    let system = service.running_from("vm", &document);
    let mut console = guest.console();
    console.until("ready");
    let path = |lun: u32| format!("Devices/Scsi/one/Attachments/{lun}");
    let settings = |path: &str| serde_json::to_value(disk(path)).unwrap();
    let (add, remove, update) =
        (Some(ModifyRequestType::Add), Some(ModifyRequestType::Remove), Some(ModifyRequestType::Update));
    let modify = |lun, kind, settings| system.modify(&request(&path(lun), kind, settings)).wait();
    // What the guest finds at a disk's number. Its kernel makes the node of a disk a moment before there is
    // something to open, and lets go of a disk that is replaced a moment after it was told.
    let content = |console: &mut Console, lun: u32| {
        let find = format!(
            "said=; for i in 1 2 3 4 5 6 7 8 9; do disk=$(ls /sys/class/scsi_device/0:0:0:{lun}/device/block 2>/dev/null); \
             said=$(head -c 6 /dev/$disk 2>/dev/null | tr -d '\\0'); test -n \"$said\" && break; sleep 1; done; echo $said"
        );
        console.run(&find).trim().to_owned()
    };
    assert_eq!(content(&mut console, 0), "first");
    modify(5, add, settings(&second)).unwrap();
    assert_eq!(content(&mut console, 5), "second");
    refused(modify(5, add, settings(&third)), Cause::AlreadyExists);
    let missing = service.root().join("missing").display().to_string();
    refused(modify(5, update, settings(&missing)), Cause::FileNotFound);
    assert_eq!(content(&mut console, 5), "second");
    modify(5, update, settings(&third)).unwrap();
    assert_eq!(content(&mut console, 5), "third");
    modify(0, remove, json!({})).unwrap();
    refused(modify(0, remove, json!({})), Cause::NotFound);
    // The guest's kernel hears of it and takes a moment.
    console.run("for n in 1 2 3 4 5 6 7 8 9 10; do test -e /sys/class/scsi_device/0:0:0:0 || break; sleep 1; done; ! test -e /sys/class/scsi_device/0:0:0:0");
    // A disk of the host, which an image is not.
    let device = host("losetup", &["--find", "--show", &second]).trim().to_owned();
    host("chmod", &["666", &device]);
    let through = |path: &str| {
        serde_json::to_value(Attachment::default().type_(AttachmentType::PassThru).path(path)).unwrap()
    };
    modify(11, add, through(&device)).unwrap();
    assert_eq!(content(&mut console, 11), "second");
    modify(11, remove, json!({})).unwrap();
    host("losetup", &["--detach", &device]);
    refused(modify(11, add, through(&second)), Cause::InvalidData);
    // What is gone can be had by others: its lock is free.
    modify(7, add, settings(&first)).unwrap();
    host("chmod", &["600", &second]);
    refused(modify(9, add, settings(&second)), Cause::AccessDenied);
    let other = request("Devices/Scsi/two/Attachments/1", add, settings(&second));
    refused(system.modify(&other).wait(), Cause::NotFound);
    // The other name of the controller, which stands for its key.
    let id = "2016F1C1-CF04-5672-B764-B9D5F367FE08";
    system.modify(&request(&format!("Devices/Scsi/{id}/Attachments/7"), remove, json!({}))).wait().unwrap();
    system.terminate().wait().unwrap();
    service.await_nothing_left();
}

/// An adapter with an address that a test finds again.
fn adapter(mode: NetworkMode, name: Option<&str>, last: &str) -> NetworkAdapter {
    let mut linux = NetworkLinux::default().mode(mode);
    linux.name = name.map(str::to_owned);
    NetworkAdapter::default()
        .mac_address(format!("00-15-5D-01-02-{last}").parse::<hcs::schema::MacAddress>().unwrap())
        .linux(linux)
}

/// A bridge of the host, gone when the test ends.
struct Bridge(String);

impl Bridge {
    fn make(name: &str, address: &str) -> Bridge {
        // An earlier run that was ended in the midst of a test has left it.
        let _ = std::process::Command::new("ip").args(["link", "del", name]).output();
        host("ip", &["link", "add", name, "type", "bridge"]);
        let bridge = Bridge(name.to_owned());
        host("ip", &["addr", "add", address, "dev", name]);
        host("ip", &["link", "set", name, "up"]);
        bridge
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = std::process::Command::new("ip").args(["link", "del", &self.0]).status();
    }
}

#[test]
fn adapters_come_and_go_and_reach_the_host() {
    let service = Service::start();
    let bridge = Bridge::make("hcsvmtest0", "10.88.7.1/24");
    let guest = Guest::make(service.root(), &format!("load virtio_net; load af_packet; {SHELL}"));
    let document = guest.document_with(|machine| {
        let devices = machine.devices.clone().unwrap_or_default();
        let adapter = adapter(NetworkMode::Bridge, Some(&bridge.0), "03");
        machine.devices(devices.network_adapters([("first".to_owned(), adapter)]))
    });
    let system = service.running_from("vm", &document);
    let mut console = guest.console();
    console.until("ready");
    assert!(console.run("cat /sys/class/net/eth0/address").contains("00:15:5d:01:02:03"));
    console.run("ip addr add 10.88.7.2/24 dev eth0; ip link set eth0 up");
    let ping = "ok=1; for i in 1 2 3 4 5 6; do ping -c 1 -W 1 10.88.7.1 >/dev/null && ok=0 && break; done; test $ok = 0";
    console.run(ping);
    let path = |key: &str| format!("Devices/NetworkAdapters/{key}");
    let (add, remove, update) =
        (Some(ModifyRequestType::Add), Some(ModifyRequestType::Remove), Some(ModifyRequestType::Update));
    // The cable is pulled out, and plugged in again.
    system.modify(&request(&path("first"), update, json!({"ConnectionState": "Disabled"}))).wait().unwrap();
    console.run("for i in 1 2 3 4 5 6 7 8 9; do test $(cat /sys/class/net/eth0/carrier) = 0 && break; sleep 1; done; test $(cat /sys/class/net/eth0/carrier) = 0");
    system.modify(&request(&path("first"), update, json!({"ConnectionState": "Enabled"}))).wait().unwrap();
    console.run(ping);

    let id = "7a3d1c52-2b0f-4a57-a8ac-1f9a6c1f6a10";
    let user = serde_json::to_value(adapter(NetworkMode::User, None, "04")).unwrap();
    system.modify(&request(&path(id), add, user.clone())).wait().unwrap();
    refused(system.modify(&request(&path(id), add, user)).wait(), Cause::AlreadyExists);
    let wait = |there: &str| {
        format!(
            "for i in 1 2 3 4 5 6 7 8 9; do grep -q 5d:01:02:04 /sys/class/net/*/address && break; sleep 1; done; {there} grep -q 5d:01:02:04 /sys/class/net/*/address"
        )
    };
    console.run(&wait(""));
    // The program that speaks for the guest gives it an address.
    console.run("ip link set eth1 up; udhcpc -i eth1 -n -q -s /bin/true 2>&1 | grep -q obtained");
    system.modify(&request(&path(&id.to_uppercase()), remove, json!({}))).wait().unwrap();
    console.run("! grep -q 5d:01:02:04 /sys/class/net/*/address");
    refused(system.modify(&request(&path(id), remove, json!({}))).wait(), Cause::NotFound);
    let nowhere = serde_json::to_value(adapter(NetworkMode::Bridge, Some("nobridge"), "05")).unwrap();
    let error = refused(system.modify(&request(&path("x"), add, nowhere)).wait(), Cause::NotFound);
    assert!(error.message.contains("nobridge"), "{error}");
    system.terminate().wait().unwrap();
    service.await_nothing_left();
    // The kernel removes it behind the last who had it.
    until("a tap device is left", Duration::from_secs(2), || {
        !host("ip", &["-o", "link"]).contains("hcs-tap")
    });
}

#[test]
fn processors_and_serial_ports_are_changed() {
    let service = Service::start();
    let guest = Guest::make(service.root(), SHELL);
    let document = guest.document_with(|machine| {
        let mut topology = machine.compute_topology.clone().unwrap_or_default();
        topology.processor = topology.processor.map(|processor| processor.count(2u32));
        machine.compute_topology(topology)
    });
    let system = service.running_from("vm", &document);
    let mut console = guest.console();
    console.until("ready");
    let quota = || {
        let files = service.leftovers().cgroups.into_iter().map(|folder| folder.join("cpu.cfs_quota_us"));
        let file = files.into_iter().find(|file| file.exists()).expect("a limit of processors");
        fs::read_to_string(file).unwrap().trim().to_owned()
    };
    assert_eq!(quota(), "-1");
    let limits = json!({"Limit": 50_000, "Weight": 100, "Reservation": 0});
    system.modify(&request("ComputeTopology/Processor/Limits", None, limits)).wait().unwrap();
    assert_eq!(quota(), "100000");
    let idle = |count: u32| {
        let settings = json!({"IdleProcessorCount": count});
        let update = Some(ModifyRequestType::Update);
        system.modify(&request("ComputeTopology/Processor/IdledProcessors", update, settings)).wait()
    };
    idle(1).unwrap();
    assert_eq!(quota(), "50000");
    refused(idle(2), Cause::InvalidData);
    idle(0).unwrap();
    refused(system.modify(&request("ComputeTopology/Gpu", None, json!({}))).wait(), Cause::NotSupported);

    // The port moves, and what was said meanwhile is not mixed up.
    let moved = service.root().join("moved").display().to_string();
    let port = request("Devices/ComPorts/0", Some(ModifyRequestType::Update), json!({"NamedPipe": moved}));
    system.modify(&port).wait().unwrap();
    assert!(!guest.port().exists());
    let mut console = Console::at(Path::new(&moved));
    assert!(console.run("echo moved").contains("moved"));
    refused(system.modify(&port).wait(), Cause::AlreadyExists);
    system.modify(&request("Devices/ComPorts/0", Some(ModifyRequestType::Remove), json!({}))).wait().unwrap();
    assert!(!Path::new(&moved).exists());
    system.terminate().wait().unwrap();
    service.await_nothing_left();
}

#[test]
fn a_socket_of_the_host_becomes_a_port_of_the_guest() {
    let service = Service::start();
    let guest = Guest::make(service.root(), SHELL);
    let system = service.running_from("vm", &guest.document());
    let mut console = guest.console();
    console.until("ready");
    let socket = service.root().join("answers");
    let listener = UnixListener::bind(&socket).unwrap();
    host("chmod", &["666", socket.to_str().unwrap()]);
    let change = |kind| {
        let path = format!("Devices/MappedPipes/{}", socket.display());
        system.modify(&request(&path, Some(kind), json!({}))).wait()
    };
    change(ModifyRequestType::Add).unwrap();
    refused(change(ModifyRequestType::Add), Cause::AlreadyExists);
    let (mut stream, _) = listener.accept().unwrap();
    console.run("for i in 1 2 3 4 5 6 7 8 9; do grep -l answers /sys/class/virtio-ports/*/name && break; sleep 1; done");
    console.run("port=/dev/$(basename $(dirname $(grep -l answers /sys/class/virtio-ports/*/name))); echo question >$port");
    let mut heard = [0; 9];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"question\n");
    stream.write_all(b"answer\n").unwrap();
    assert!(console.run("head -1 $port").contains("answer"));
    change(ModifyRequestType::Remove).unwrap();
    refused(change(ModifyRequestType::Remove), Cause::NotFound);
    // The guest's kernel hears of it and takes a moment.
    console.run("for i in 1 2 3 4 5 6 7 8 9; do grep -q answers /sys/class/virtio-ports/*/name 2>/dev/null || break; sleep 1; done; ! grep -l answers /sys/class/virtio-ports/*/name 2>/dev/null");
    system.terminate().wait().unwrap();
    service.await_nothing_left();
}

#[test]
fn a_machine_runs_on_the_processors_of_its_group() {
    let service = Service::start();
    let guest = Guest::make(service.root(), SHELL);
    let client = service.client();
    let id = "9f5a3b1e-2f0e-4a43-b1a4-7f6a3d2b1c00";
    let group = |operation: &str| {
        let details = json!({"GroupId": id, "LogicalProcessorCount": 1, "LogicalProcessors": [1]});
        let request = json!({"PropertyType": "CpuGroup", "Settings": {"Operation": operation, "OperationDetails": details}});
        client.modify_service(&hcs::schema::read(&request.to_string()).unwrap().value).wait()
    };
    let bind = |system: &System, id: &str| {
        system.modify(&request("ComputeTopology/Processor/CpuGroup", None, json!({"Id": id}))).wait()
    };
    let document = guest.document_with(|machine| {
        let mut topology = machine.compute_topology.clone().unwrap_or_default();
        let group = CpuGroup::default().id(id.parse::<Guid>().unwrap());
        topology.processor = topology.processor.map(|processor| processor.cpu_group(group));
        machine.compute_topology(topology)
    });
    refused(client.create("vm", &document).wait(), Cause::NotFound);
    group("CreateGroup").unwrap();
    let system = service.running_from("vm", &document);
    // Every thread of QEMU.
    let places = || {
        let [qemu] = service.leftovers().processes[..] else { panic!("not one process") };
        let places = processes::threads(qemu).into_iter();
        let mut places: Vec<String> =
            places.map(|thread| processes::status(thread, "Cpus_allowed_list")).collect();
        // One that has ended meanwhile is nowhere.
        places.retain(|place| !place.is_empty());
        places.sort();
        places.dedup();
        places
    };
    assert_eq!(places(), ["1"]);
    refused(group("DeleteGroup"), Cause::InUse);
    refused(bind(&system, "00000000-0000-0000-0000-000000000001"), Cause::InvalidState);
    bind(&system, "00000000-0000-0000-0000-000000000000").unwrap();
    assert_ne!(places(), ["1"]);
    bind(&system, id).unwrap();
    assert_eq!(places(), ["1"]);
    system.terminate().wait().unwrap();
    service.await_nothing_left();
    group("DeleteGroup").unwrap();
}

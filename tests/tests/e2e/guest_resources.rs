//! What a host gives to a machine and its agent makes something of: folders, disks, layers.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    time::Duration,
};

use hcs::{
    Cause, System,
    schema::{
        Any, Attachment, AttachmentType, Devices, HvSocketServiceConfig, HvSocketSystemConfig,
        ModifyRequestType, ModifySettingRequest, Plan9, Plan9Share, SaveOptions, SaveType, Scsi,
        VirtualMachineHvSocket,
    },
};
use hcs_tests::{Service, counts, host, processes};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    output,
    place::{Place, inside, utility},
    refused,
};

/// A guest has much to do, and half a processor.
const SOON: Duration = Duration::from_secs(60);
const READ_ONLY: u32 = 1;
const RESTRICTED: u32 = 0x80;

/// A utility machine with more devices.
fn running(service: &Service, add: impl FnOnce(Devices) -> Devices) -> System {
    let mut document = utility(service);
    document.virtual_machine = document.virtual_machine.map(|machine| {
        let devices = machine.devices.clone().unwrap_or_default();
        machine.devices(add(devices))
    });
    service.running_from("vm", &document)
}

fn share(name: &str, path: &Path, flags: u32) -> Plan9Share {
    Plan9Share::default().access_name(name).path(path.display().to_string()).flags(flags)
}

/// A request for a path, and one for the guest.
pub fn request(
    kind: ModifyRequestType,
    path: &str,
    settings: &Value,
    resource: &str,
    guest: &Value,
) -> ModifySettingRequest {
    let of_guest = json!({"RequestType": kind.to_string(), "ResourceType": resource, "Settings": guest});
    let mut request =
        ModifySettingRequest::default().request_type(kind).guest_request(Any::from_value(&of_guest).unwrap());
    if !path.is_empty() {
        request = request.resource_path(path).settings(Any::from_value(settings).unwrap());
    }
    request
}

const SHARES: &str = "VirtualMachine/Devices/Plan9/Shares";

fn mapped(kind: ModifyRequestType, share: &Plan9Share, place: &str) -> ModifySettingRequest {
    let name = share.access_name.clone().unwrap();
    let read_only = share.flags.unwrap_or(0) & READ_ONLY != 0;
    let guest = json!({"MountPath": place, "ShareName": name, "ReadOnly": read_only});
    request(kind, SHARES, &serde_json::to_value(share).unwrap(), "MappedDirectory", &guest)
}

#[test]
fn folders_are_shared_at_the_start_and_later_and_nothing_beside_them_is() {
    use ModifyRequestType::{Add, Remove};
    let service = Service::start();
    let folder = service.root().join("folders");
    for name in ["one", "two", "three/below"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    fs::write(folder.join("secret"), "secret").unwrap();
    for (file, text) in
        [("one/a", "of one"), ("two/b", "of two"), ("three/c", "of three"), ("three/below/d", "deep")]
    {
        fs::write(folder.join(file), text).unwrap();
    }
    let secret = folder.join("secret");
    std::os::unix::fs::symlink(&secret, folder.join("one/link")).unwrap();
    std::os::unix::fs::symlink("../secret", folder.join("one/up")).unwrap();
    std::os::unix::fs::symlink(&secret, folder.join("three/link")).unwrap();
    let system = running(&service, |devices| {
        devices.plan9(Plan9::default().shares(vec![share("one", &folder.join("one"), 0)]))
    });
    let mount = json!({"MountPath": "/mnt/one", "ShareName": "one", "Readonly": true});
    let first = request(Add, "", &Value::Null, "MappedDirectory", &mount);
    system.modify(&first).wait().unwrap();
    let told = "$.Request.Settings.Readonly: unknown member";
    hcs_tests::until("an unknown member is told of", SOON, || service.log().contains(told));
    assert_eq!(output(&system, "cat /mnt/one/a"), "of one");
    output(&system, "cd /mnt/one && echo new > n && chown 1000:1001 n && mkdir deep && mv n deep");
    let made = fs::metadata(folder.join("one/deep/n")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 1000);
    // What links say is the guest's own.
    output(&system, "! cat /mnt/one/link && ! cat /mnt/one/up && ! cat /mnt/one/../secret");

    let two = share("two", &folder.join("two"), READ_ONLY);
    system.modify(&mapped(Add, &two, "/mnt/two")).wait().unwrap();
    assert_eq!(
        output(&system, "cat /mnt/two/b; ! echo no > /mnt/two/b 2>/dev/null; ! touch /mnt/two/x 2>/dev/null"),
        "of two"
    );
    // Also for one who mounts it by another way.
    output(&system, "mount -o remount,rw /mnt/two 2>/dev/null; ! touch /mnt/two/x 2>/dev/null");
    assert!(!folder.join("two/x").exists());

    let files = vec!["c".to_owned(), "below/d".to_owned()];
    let three = share("three", &folder.join("three"), RESTRICTED).allowed_files(files);
    system.modify(&mapped(Add, &three, "/mnt/three")).wait().unwrap();
    assert_eq!(
        output(&system, "cat /mnt/three/c /mnt/three/below/d; ls /mnt/three"),
        "of threedeepbelow\nc\n"
    );
    let linked = share("four", &folder.join("three"), RESTRICTED).allowed_files(vec!["link".to_owned()]);
    let error = system.modify(&mapped(Add, &linked, "/mnt/four")).wait().unwrap_err();
    assert!(error.message.contains("$.Settings.Path"), "{error}");

    // What the guest refuses is not shared.
    let five = share("five", &folder.join("two"), 0);
    let nowhere = mapped(Add, &five, "/proc/nowhere");
    system.modify(&nowhere).wait().unwrap_err();
    system.modify(&mapped(Add, &five, "/mnt/five")).wait().unwrap();
    refused(system.modify(&mapped(Add, &five, "/mnt/six")).wait(), Cause::AlreadyExists);
    for (share, place) in [(&two, "/mnt/two"), (&three, "/mnt/three"), (&five, "/mnt/five")] {
        system.modify(&mapped(Remove, share, place)).wait().unwrap();
    }
    assert_eq!(output(&system, "ls /mnt"), "one\n");
    refused(
        system.modify(&mapped(Add, &share("two", &folder.join("none"), 0), "/mnt/two")).wait(),
        Cause::FileNotFound,
    );

    system.pause(None).wait().unwrap();
    let template = SaveOptions::default().save_type(SaveType::AsTemplate);
    let error = refused(system.save(&template).wait(), Cause::NotSupported);
    assert!(error.message.contains("shared folders"), "{error}");
    system.resume().wait().unwrap();
    Place { system, host: None, service }.end();
}

#[test]
fn shares_come_and_go_many_times_and_leave_nothing() {
    use ModifyRequestType::{Add, Remove};
    let service = Service::start();
    let folder = service.root().join("folder");
    fs::create_dir_all(&folder).unwrap();
    let system = running(&service, |devices| devices.plan9(Plan9::default()));
    let one = share("one", &folder, 0);
    for round in 0..20 {
        fs::write(folder.join("round"), round.to_string()).unwrap();
        system.modify(&mapped(Add, &one, "/mnt/one")).wait().unwrap();
        assert_eq!(output(&system, "cat /mnt/one/round"), round.to_string());
        system.modify(&mapped(Remove, &one, "/mnt/one")).wait().unwrap();
    }
    assert_eq!(output(&system, "grep -c virtiofs /proc/mounts"), "1\n");
    Place { system, host: None, service }.end();
}

#[test]
fn a_server_of_shared_folders_that_does_not_answer_holds_up_nobody_for_ever() {
    use ModifyRequestType::{Add, Remove};
    let service = Service::start();
    let folder = service.root().join("folders");
    for name in ["one", "two"] {
        fs::create_dir_all(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("a"), name).unwrap();
    }
    let system = running(&service, |devices| devices.plan9(Plan9::default()));
    let one = share("one", &folder.join("one"), 0);
    system.modify(&mapped(Add, &one, "/mnt/one")).wait().unwrap();
    let mut servers = service.leftovers().processes;
    servers.retain(|pid| processes::read(*pid, "comm").starts_with("virtiofsd"));
    assert!(!servers.is_empty());
    servers.iter().for_each(|server| processes::signal(*server, Signal::STOP));
    hcs_tests::until("the servers stand still, with all their threads", SOON, || {
        servers
            .iter()
            .flat_map(|server| processes::threads(*server))
            .all(|thread| processes::status(thread, "State").starts_with('T'))
    });
    let two = mapped(Add, &share("two", &folder.join("two"), 0), "/mnt/two");
    let error = refused(system.modify(&two).wait(), Cause::DeadlineExceeded);
    assert!(error.message.contains("/run/hcs/shares"), "{error}");
    // The kernel writes back what a share has before it lets go of it, so this waits for the server too.
    refused(system.modify(&mapped(Remove, &one, "/mnt/one")).wait(), Cause::DeadlineExceeded);
    assert_eq!(output(&system, "echo there"), "there\n");
    servers.iter().for_each(|server| processes::signal(*server, Signal::CONT));
    system.modify(&two).wait().unwrap();
    system.modify(&mapped(Remove, &one, "/mnt/one")).wait().unwrap();
    system.modify(&mapped(Add, &one, "/mnt/one")).wait().unwrap();
    assert_eq!(output(&system, "cat /mnt/one/a /mnt/two/a"), "onetwo");
    // Who has waited for the server dies of its answer, and whoever shares next takes it away.
    hcs_tests::until("nobody who has waited is left", SOON, || {
        system.modify(&mapped(Remove, &one, "/mnt/one")).wait().unwrap();
        system.modify(&mapped(Add, &one, "/mnt/one")).wait().unwrap();
        output(&system, "cat /proc/[0-9]*/stat 2> /dev/null | grep -c ') Z '; true") == "0\n"
    });
    Place { system, host: None, service }.end();
}

#[test]
fn a_disk_is_mounted_by_the_guest_and_layers_become_the_root_of_a_container() {
    use ModifyRequestType::{Add, Remove};
    let service = Service::start();
    let disk = service.root().join("disk.img");
    fs::File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    host("mke2fs", &["-q", "-t", "ext4", "-F", disk.to_str().unwrap()]);
    fs::set_permissions(&disk, fs::Permissions::from_mode(0o666)).unwrap();
    // The upper layer hides a file of the lower, which is the root file system of the other tests.
    let layer = service.root().join("layer");
    fs::create_dir_all(layer.join("etc")).unwrap();
    fs::write(layer.join("etc/passwd"), "root:x:0:0:upper:/:/bin/sh\n").unwrap();
    let system = running(&service, |devices| {
        devices.plan9(Plan9::default()).scsi([("0".to_owned(), Scsi::default())])
    });
    for (name, path) in [("base", service.rootfs()), ("upper", layer)] {
        let share = share(name, &path, READ_ONLY);
        system.modify(&mapped(Add, &share, &format!("/run/layers/{name}"))).wait().unwrap();
    }
    let attachment =
        Attachment::default().type_(AttachmentType::VirtualDisk).path(disk.display().to_string());
    let attachment = serde_json::to_value(&attachment).unwrap();
    let place = "VirtualMachine/Devices/Scsi/0/Attachments/3";
    let in_guest = json!({"MountPath": "/run/scratch", "Lun": 3});
    system.modify(&request(Add, place, &attachment, "MappedVirtualDisk", &in_guest)).wait().unwrap();
    let layers = json!({
        "ContainerRootPath": "/run/web/rootfs", "ScratchPath": "/run/scratch/web",
        "Layers": [{"Id": "u", "Path": "/run/layers/upper"}, {"Id": "b", "Path": "/run/layers/base"}],
    });
    system.modify(&request(Add, "", &Value::Null, "CombinedLayers", &layers)).wait().unwrap();

    let storage = hcs::schema::Storage::default().path("/run/web/rootfs");
    let mut document = inside("vm", hcs::schema::Container::default());
    let hosted = document.hosted_system.take().unwrap();
    let mut hosted: Value = serde_json::from_str(hosted.get()).unwrap();
    hosted["Container"]["Storage"] = serde_json::to_value(&storage).unwrap();
    document.hosted_system = Some(Any::from_value(&hosted).unwrap());
    let container = service.running_from("web", &document);
    assert_eq!(
        output(&container, "cat /etc/passwd; echo written > /file; ls /bin/busybox"),
        "root:x:0:0:upper:/:/bin/sh\n/bin/busybox\n"
    );
    container.terminate().wait().unwrap();

    system.modify(&request(Remove, "", &Value::Null, "CombinedLayers", &layers)).wait().unwrap();
    assert_eq!(output(&system, "find /run/scratch/web -name file | wc -l"), "1\n");
    system.modify(&request(Remove, place, &attachment, "MappedVirtualDisk", &in_guest)).wait().unwrap();
    let mut console = output(&system, "ls /run/scratch 2>/dev/null; ls /sys/class/scsi_device | wc -l");
    console.retain(|letter| letter != '\n');
    println!("left in the guest: {console}");
    let error = system.modify(&request(Add, "", &Value::Null, "NoSuchThing", &json!({}))).wait().unwrap_err();
    assert!(error.message.contains("NoSuchThing") && error.message.contains("$.GuestRequest"), "{error}");
    counts::bring_out(&system);
    system.terminate().wait().unwrap();
    service.await_nothing_left();
    host("e2fsck", &["-fn", disk.to_str().unwrap()]);
}

#[test]
fn adapters_of_a_network_namespace_are_in_its_containers_and_come_and_go() {
    use ModifyRequestType::{Add, Remove};
    const NAMESPACE: &str = "A1B2C3D4-0000-0000-0000-00000000000E";
    let service = Service::start();
    let system = running(&service, |devices| devices);
    let adapter = |last: &'static str, address: &str, metric: u32| {
        let mac = format!("00-15-5D-01-07-{last}");
        let mine = json!({"MacAddress": mac, "Linux": {"Mode": "User"}});
        let guest = json!({
            "NamespaceID": NAMESPACE, "ID": format!("7a3d1c52-2b0f-4a57-a8ac-1f9a6c1f6a{last}"), "MacAddress": mac,
            "IPConfigs": [{"IPAddress": address, "PrefixLength": 24}],
            "Routes": [{"NextHop": "10.3.7.1", "DestinationPrefix": "0.0.0.0/0", "Metric": metric}],
            "DNSServerList": "192.0.2.53", "DNSSuffix": "corp.example", "EncapOverhead": 50,
        });
        move |kind| {
            request(kind, &format!("VirtualMachine/Devices/NetworkAdapters/{last}"), &mine, "Network", &guest)
        }
    };
    let (first, second) = (adapter("01", "10.3.7.9", 5), adapter("02", "10.3.7.10", 6));
    system.modify(&first(Add)).wait().unwrap();
    // The machine itself has it no more.
    output(&system, "! grep -q 01:07:01 /sys/class/net/*/address");
    let networking = hcs::schema::Networking::default().namespace(NAMESPACE);
    let document = inside("vm", hcs::schema::Container::default().networking(networking));
    let container = service.running_from("web", &document);
    let said = output(&container, "ip addr show eth0; ip route; cat /etc/resolv.conf");
    for part in [
        "00:15:5d:01:07:01",
        "10.3.7.9/24",
        "mtu 1450",
        "default via 10.3.7.1",
        "nameserver 192.0.2.53",
        "search corp.example",
    ] {
        assert!(said.contains(part), "{part} is missing: {said}");
    }
    // One that comes later is there at once, and one that goes is gone.
    system.modify(&second(Add)).wait().unwrap();
    assert!(output(&container, "ip addr show eth1").contains("10.3.7.10/24"));
    system.modify(&first(Remove)).wait().unwrap();
    output(&container, "! ip link show eth0 2>/dev/null; ip link show eth1 | grep -q 01:07:02");
    // What cannot be set up stays in the machine.
    let wrong = adapter("03", "10.3.7.9/24", 7);
    system.modify(&wrong(Add)).wait().unwrap_err();
    container.terminate().wait().unwrap();
    drop(container);
    system.modify(&second(Remove)).wait().unwrap();
    assert_eq!(output(&system, "ls /run/netns; ls /etc/netns 2>/dev/null; ! grep netns /proc/mounts"), "");
    Place { system, host: None, service }.end();
}

/// A line from a stream.
fn line(from: &mut UnixStream) -> String {
    let (mut line, mut byte) = (String::new(), [0]);
    while !line.ends_with('\n') {
        from.read_exact(&mut byte).unwrap();
        line.push(char::from(byte[0]));
    }
    line
}

#[test]
fn programs_of_the_host_and_of_a_guest_speak_by_sockets() {
    const SERVICE: &str = "00001234-facb-11e6-bd58-64006a7986d3";
    let service = Service::start();
    let bin = service.rootfs().join("bin/guest_sockets");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/c/guest_sockets.c");
    host("cc", &["-static", "-O1", "-Wall", "-Werror", "-o", bin.to_str().unwrap(), source]);
    let mut document = utility(&service);
    document.virtual_machine = document.virtual_machine.map(|machine| {
        let config = HvSocketSystemConfig::default()
            .default_bind_security_descriptor("D:P(A;;FA;;;SY)")
            .service_table([(SERVICE.to_owned(), HvSocketServiceConfig::default())]);
        let devices = machine.devices.clone().unwrap_or_default();
        machine.devices(devices.hv_socket(VirtualMachineHvSocket::default().hv_socket_config(config)))
    });
    let system = service.client().create("vm", &document).wait().unwrap();
    // Who listens may do so before the machine runs.
    let folder = service.root().join("run/systems").join(system.runtime_id()).join("hvsocket");
    let listener = UnixListener::bind(folder.join(format!("connect_{}", 0x1234))).unwrap();
    system.start().wait().unwrap();

    let mut calls = Vec::new();
    for name in ["one", "two"] {
        let text = format!("echo from {name} | guest_sockets connect {}", 0x1234);
        calls.push((name, crate::run(&system, &crate::script(&text))));
        let (mut call, _) = listener.accept().unwrap();
        assert_eq!(line(&mut call), format!("from {name}\n"));
        call.write_all(format!("to {name}\n").as_bytes()).unwrap();
    }
    for (name, mut process) in calls {
        assert_eq!(crate::read_all(process.pipes.stdout.take()), format!("to {name}\n"));
        assert_eq!(crate::exit_code(&process), 0);
    }
    output(&system, "! echo nobody | guest_sockets connect 77");
    let much = format!("head -c 1000000 /dev/zero > /tmp/much; guest_sockets connect {} < /tmp/much", 0x1234);
    let mut sends = crate::run(&system, &crate::script(&much));
    let (mut call, _) = listener.accept().unwrap();
    let mut heard = vec![1; 1_000_000];
    call.read_exact(&mut heard).unwrap();
    assert!(heard.iter().all(|byte| *byte == 0));
    call.write_all(b"all\n").unwrap();
    drop(call);
    assert_eq!(crate::read_all(sends.pipes.stdout.take()), "all\n");

    let listening = crate::run(&system, &crate::command(&["guest_sockets", "listen", "50000"]));
    crate::process::await_line(listening.pipes.stdout.as_ref().unwrap(), "ready\n");
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = UnixStream::connect(folder.join("connect")).unwrap();
        stream.write_all(b"CONNECT 50000\n").unwrap();
        streams.push(stream);
    }
    let mut first = streams.remove(0);
    assert!(line(&mut first).starts_with("OK "));
    first.write_all(b"hello\n").unwrap();
    assert_eq!(line(&mut first), "HELLO\n");

    let table = format!("VirtualMachine/Devices/HvSocket/HvSocketConfig/ServiceTable/{SERVICE}");
    let update = ModifySettingRequest::default()
        .resource_path(table.clone())
        .request_type(ModifyRequestType::Update)
        .settings(Any::from_value(&HvSocketServiceConfig::default()).unwrap());
    system.modify(&update).wait().unwrap();
    let other = update.resource_path(table.replace(SERVICE, "acef5661-84a1-4e44-856b-6245e69f4620"));
    refused(system.modify(&other).wait(), Cause::NotSupported);
    // The end of the machine is the end of every connection.
    system.terminate().wait().unwrap();
    assert_eq!(first.read(&mut [0; 8]).unwrap_or(0), 0);
    drop(listener);
    service.await_nothing_left();
}

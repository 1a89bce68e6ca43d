//! Folders of a machine whose agent knows only sockets: they are served by 9P at the ports that requests name, and mounted by the
//! kernel of the guest, which is one of Debian's that knows it.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{fs::MetadataExt, fs::symlink},
    path::Path,
    time::Duration,
};

use hcs::{
    Cause, System,
    schema::{Any, GuestConnection, ModifyRequestType, ModifySettingRequest, Plan9, Plan9Share},
};
use hcs_tests::{
    Service,
    machine::{Guest, with_memory},
    processes,
};
use serde_json::json;

use crate::{output, refused};
use ModifyRequestType::{Add, Remove};

const READ_ONLY: u32 = 1;
const RESTRICTED: u32 = 0x80;

/// The port of other hosts.
const PORT: u32 = 564;

/// A machine with these shares.
fn running(service: &Service, shares: Vec<Plan9Share>) -> System {
    let guest = Guest::of_all_machines(service.root(), &service.rootfs());
    let document = guest.document_with(|machine| {
        let devices = machine.devices.clone().unwrap_or_default();
        with_memory(machine, 256)
            .guest_connection(GuestConnection::default().use_vsock(true))
            .devices(devices.plan9(Plan9::default().shares(shares)))
    });
    service.running_from("vm", &document)
}

fn share(name: &str, path: &Path, port: u32, flags: u32) -> Plan9Share {
    Plan9Share::default().access_name(name).path(path.display().to_string()).port(port).flags(flags)
}

/// A request for the guest, and beside it one for the share itself.
fn mapped(kind: ModifyRequestType, share: &Plan9Share, place: &str, is_there: bool) -> ModifySettingRequest {
    let guest = json!({
        "RequestType": kind.to_string(), "ResourceType": "MappedDirectory",
        "Settings": {
            "MountPath": place, "ShareName": share.access_name, "Port": share.port,
            "ReadOnly": share.flags.unwrap_or(0) & READ_ONLY != 0,
        },
    });
    let request =
        ModifySettingRequest::default().request_type(kind).guest_request(Any::from_value(&guest).unwrap());
    match is_there {
        true => request,
        false => request
            .resource_path("VirtualMachine/Devices/Plan9/Shares")
            .settings(Any::from_value(share).unwrap()),
    }
}

/// The same without the guest.
fn of_host(mut request: ModifySettingRequest) -> ModifySettingRequest {
    request.guest_request = None;
    request
}

fn modify(system: &System, request: &ModifySettingRequest) -> Result<(), hcs::Error> {
    system.modify(request).wait()
}

/// At which ports somebody listens, beside those of the agent.
fn ports(service: &Service, system: &System) -> BTreeSet<u32> {
    let folder = service.root().join("run/systems").join(system.runtime_id()).join("hvsocket");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let ports = names.filter_map(|name| name.strip_prefix("connect_")?.parse().ok());
    ports.filter(|port| ![1, 109, 0x4000_0000].contains(port)).collect()
}

/// Who serves the folders of a machine.
fn servers(service: &Service, system: &System) -> Vec<u32> {
    let children = processes::children(service.worker(system)).into_iter();
    children.filter(|pid| processes::read(*pid, "comm").trim() == "hcs-folders").collect()
}

#[test]
fn folders_are_served_at_ports_and_nothing_beside_them_is() {
    let service = Service::start();
    let folder = service.root().join("folders");
    for name in ["one", "two", "three/below"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    let secret = folder.join("secret");
    for (file, text) in [
        ("secret", "secret"),
        ("one/a", "of one"),
        ("two/b", "of two"),
        ("three/c", "of three"),
        ("three/hidden", "hidden"),
        ("three/below/d", "deep"),
    ] {
        fs::write(folder.join(file), text).unwrap();
    }
    symlink(&secret, folder.join("one/link")).unwrap();
    symlink("../secret", folder.join("one/up")).unwrap();
    let one = share("one", &folder.join("one"), PORT, 0);
    let system = running(&service, vec![one.clone()]);
    assert_eq!(ports(&service, &system), [PORT].into());

    // One that was there from the start: only the guest is asked.
    modify(&system, &mapped(Add, &one, "/mnt/one", true)).unwrap();
    assert_eq!(output(&system, "awk '$2 == \"/mnt/one\" { print $1, $3 }' /proc/mounts"), "one 9p\n");
    assert_eq!(output(&system, "cat /mnt/one/a"), "of one");
    let script = "cd /mnt/one && echo new > n && chown 1000:1001 n && chmod 640 n && mkdir -p deep/er && mv n deep/er/m
        ln -s er deep/link && ln deep/er/m deep/again && mkfifo deep/pipe && cat deep/link/m && rm deep/again
        : > cut; echo 12345 > cut; truncate -s 3 cut; cat cut; touch -d '2001-02-03 04:05:06' cut; ls deep";
    assert_eq!(output(&system, script), "new\n123er\nlink\npipe\n");
    let made = fs::metadata(folder.join("one/deep/er/m")).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777, made.nlink()), (1000, 1001, 0o640, 1));
    assert_eq!(fs::metadata(folder.join("one/cut")).unwrap().mtime(), 981_173_106);
    assert_eq!(fs::read_link(folder.join("one/deep/link")).unwrap(), Path::new("er"));
    // What links say is the guest's own.
    output(&system, "! cat /mnt/one/link && ! cat /mnt/one/up && ! cat /mnt/one/../secret");
    // A device of the host is not the guest's to make.
    output(&system, "! mknod /mnt/one/null c 1 3");
    // Who makes something has it, and reads nothing that is another's.
    output(&system, "cd /mnt/one && chmod 777 . && echo x > own && chmod 600 own");
    output(&system, "su web -c 'echo mine > /mnt/one/mine && mkdir /mnt/one/dir && ! cat /mnt/one/own'");
    for name in ["one/mine", "one/dir"] {
        let about = fs::metadata(folder.join(name)).unwrap();
        assert_eq!((about.uid(), about.gid()), (1000, 1001), "{name}");
    }
    // What the host writes is there.
    fs::write(folder.join("one/late"), "by the host").unwrap();
    assert_eq!(output(&system, "cat /mnt/one/late"), "by the host");

    let two = share("two", &folder.join("two"), PORT, READ_ONLY);
    modify(&system, &mapped(Add, &two, "/mnt/two", false)).unwrap();
    assert_eq!(output(&system, "cat /mnt/two/b && ! touch /mnt/two/x"), "of two");
    // Also for a guest that does not want to know of it.
    let writable = two.clone().flags(0u32);
    modify(&system, &mapped(Add, &writable, "/mnt/writable", true)).unwrap();
    let script = "cd /mnt/writable
        for change in 'touch x' 'rm b' 'mv b c' 'mkdir d' 'ln -s a l' 'ln b l' 'chmod 0 b' 'truncate -s 0 b'; do
            $change 2>&1 | grep -q 'Read-only file system' || echo \"done: $change\"
        done; cat b";
    assert_eq!(output(&system, script), "of two");
    modify(&system, &mapped(Remove, &writable, "/mnt/writable", true)).unwrap();
    assert_eq!(fs::read_dir(folder.join("two")).unwrap().count(), 1);

    let files = vec!["c".to_owned(), "below/d".to_owned()];
    let three = share("three", &folder.join("three"), 50_001, RESTRICTED).allowed_files(files);
    modify(&system, &mapped(Add, &three, "/mnt/three", false)).unwrap();
    assert_eq!(ports(&service, &system), [PORT, 50_001].into());
    let script =
        "cd /mnt/three && cat c below/d && ls && ! cat hidden && ! touch new && ! mkdir new && ! rm c &&
        ! mv c below/c && ! ln c below/c && echo changed > c";
    assert_eq!(output(&system, script), "of threedeepbelow\nc\n");
    assert_eq!(fs::read_to_string(folder.join("three/c")).unwrap(), "changed\n");

    // Shares of one port have nothing of each other, and none is there at another.
    output(&system, "! mv /mnt/one/a /mnt/two/a && ! mv /mnt/two/b /mnt/one/b2 2>/dev/null");
    let elsewhere = one.clone().port(50_001u32);
    let error = refused(modify(&system, &mapped(Add, &elsewhere, "/mnt/four", true)), Cause::NotFound);
    assert!(error.message.contains("\"one\""), "{error}");

    // What the guest refuses is not shared.
    let five = share("five", &folder.join("two"), 50_005, 0);
    modify(&system, &mapped(Add, &five, "/proc/nowhere", false)).unwrap_err();
    assert_eq!(ports(&service, &system), [PORT, 50_001].into());
    let error = refused(modify(&system, &mapped(Add, &one, "/mnt/six", false)), Cause::AlreadyExists);
    assert!(error.message.contains("$.Settings.AccessName"), "{error}");
    for (port, cause) in [(109, Cause::InUse), (0x4000_0001, Cause::InvalidData)] {
        let taken = share("five", &folder.join("two"), port, 0);
        let error = refused(modify(&system, &mapped(Add, &taken, "/mnt/five", false)), cause);
        assert!(error.message.contains("$.Settings.Port"), "{error}");
    }

    // What was taken away is not there any more, also for one who still has it.
    output(&system, "sh -c 'exec 3< /mnt/one/a; touch /run/has; while [ -e /run/has ]; do sleep 0.1; done
        cat <&3; echo $? > /run/mark; mv /run/mark /run/code' > /dev/null 2>&1 & while [ ! -e /run/has ]; do sleep 0.1; done");
    let wrong = one.clone().port(50_001u32);
    refused(modify(&system, &of_host(mapped(Remove, &wrong, "", false))), Cause::NotFound);
    let only_host = of_host(mapped(Remove, &one, "", false));
    modify(&system, &only_host).unwrap();
    output(&system, "rm /run/has; while [ ! -e /run/code ]; do sleep 0.1; done; [ $(cat /run/code) != 0 ]");
    output(&system, "! ls /mnt/one 2>/dev/null");
    modify(&system, &mapped(Remove, &one, "/mnt/one", true)).unwrap();
    assert_eq!(output(&system, "cat /mnt/two/b"), "of two");
    assert_eq!(servers(&service, &system).len(), 2);
    for (share, place) in [(&two, "/mnt/two"), (&three, "/mnt/three")] {
        modify(&system, &mapped(Remove, share, place, false)).unwrap();
    }
    assert_eq!(ports(&service, &system), BTreeSet::new());
    assert_eq!(servers(&service, &system), Vec::<u32>::new());
    assert_eq!(output(&system, "ls /mnt; grep -c 9p /proc/mounts || true"), "0\n");
    system.terminate().wait().unwrap();
    service.await_nothing_left();
}

#[test]
fn a_hundred_megabytes_go_by_a_port_and_its_server_may_die() {
    let mut service = Service::start();
    service.be_patient();
    let folder = service.root().join("folder");
    fs::create_dir_all(&folder).unwrap();
    // No two of its pieces are the same.
    let mut bytes = vec![0; 100 << 20];
    for (number, piece) in bytes.chunks_mut(4096).enumerate() {
        piece[..8].copy_from_slice(&number.to_le_bytes());
    }
    fs::write(folder.join("large"), &bytes).unwrap();
    let one = share("one", &folder, PORT, 0);
    let system = running(&service, vec![one.clone()]);
    modify(&system, &mapped(Add, &one, "/mnt/one", true)).unwrap();
    let began = std::time::Instant::now();
    output(&system, "dd if=/mnt/one/large of=/mnt/one/copy bs=1M 2>/dev/null");
    println!("100 MB there and back in {:?}", began.elapsed());
    assert!(fs::read(folder.join("copy")).unwrap() == bytes, "the copy is another");
    drop(bytes);

    // Many at a time, each with its own file.
    let script = "for i in 1 2 3 4 5 6 7 8; do
        (for j in 1 2 3 4 5 6 7 8 9 10; do echo $i $j > /mnt/one/$i.$j; cat /mnt/one/$i.$j; done) & done | sort | md5sum; wait";
    assert_eq!(
        output(&system, script),
        output(
            &system,
            "for i in 1 2 3 4 5 6 7 8; do for j in 1 2 3 4 5 6 7 8 9 10; do
        echo $i $j; done; done | sort | md5sum"
        )
    );

    // What is mounted is lost with its server; what is shared next at that port has another one, and so have the others.
    let [server] = servers(&service, &system)[..] else { panic!("there is not one server") };
    processes::signal(server, rustix::process::Signal::KILL);
    let soon = Duration::from_secs(60);
    hcs_tests::until("the mount is dead", soon, || {
        output(&system, "ls /mnt/one > /dev/null 2>&1; echo $?") != "0\n"
    });
    let two = share("two", &folder, PORT, READ_ONLY);
    modify(&system, &mapped(Add, &two, "/mnt/two", false)).unwrap();
    modify(&system, &mapped(Remove, &one, "/mnt/one", true)).unwrap();
    modify(&system, &mapped(Add, &one, "/mnt/one", true)).unwrap();
    assert_eq!(output(&system, "cat /mnt/one/1.1 /mnt/two/8.10"), "1 1\n8 10\n");
    assert_eq!(servers(&service, &system).len(), 1);

    // Who has nothing to do does nothing.
    let who = servers(&service, &system);
    let before = processes::processor_time(&who);
    std::thread::sleep(Duration::from_secs(1));
    assert!(processes::processor_time(&who) - before < 5);
    system.terminate().wait().unwrap();
    service.await_nothing_left();
}

//! Virtual machines: real kernels in a real QEMU, from the first to the last of what a client sees.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use hcs::{
    Cause, System,
    schema::{
        Attachment, AttachmentType, Devices, NotificationType, Scsi, State, SystemExitStatus,
        SystemPropertyQuery, SystemPropertyType, SystemType, WorkerExitType,
    },
};
use hcs_tests::{
    Service, host,
    machine::{Console, Guest},
    processes,
};
use rustix::process::Signal;

use crate::refused;

/// A machine that runs, and its serial port, from which it was heard that it is ready.
fn running(service: &Service, guest: &Guest) -> (System, Console) {
    let system = service.running_from("vm", &guest.document());
    let mut console = guest.console();
    console.until("ready");
    (system, console)
}

/// The end of a machine, when nothing of it is left.
fn end(service: &Service, guest: &Guest, system: &System) -> SystemExitStatus {
    let status = system.wait_blocking().unwrap();
    service.await_nothing_left();
    assert!(!guest.port().exists(), "its socket is left");
    status
}

/// The QEMU of a machine.
fn qemu(service: &Service) -> u32 {
    let all = service.leftovers().processes;
    let [qemu] = &all[..] else { panic!("found {all:?}, expected one process") };
    *qemu
}

#[test]
fn a_kernel_boots_is_seen_pauses_and_switches_itself_off() {
    let service = Service::start();
    let guest = Guest::make(
        service.root(),
        "echo memory $(grep MemTotal /proc/meminfo); echo processors $(nproc); echo ready
         read line; echo heard $line
         (n=0; while :; do n=$((n + 1)); echo count $n; usleep 20000; done) &
         read line; kill %1; echo off; poweroff -f",
    )
    .with_packed_kernel();
    let document = guest.document();
    let system = service.client().create("vm", &document).wait().unwrap();
    system.start().wait().unwrap();
    let mut console = guest.console();
    let said = console.until("ready");
    assert!(said.contains("processors 1\n"), "{said}");
    let kib: u64 =
        said.split("MemTotal: ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!((140 << 10..192 << 10).contains(&kib), "{said}");

    let query = SystemPropertyQuery::default().property_types(vec![SystemPropertyType::Memory]);
    let properties = system.properties(Some(&query)).wait().unwrap();
    assert_eq!(properties.system_type, Some(SystemType::VirtualMachine));
    let memory = properties.memory.unwrap().virtual_machine_memory.unwrap();
    assert_eq!(memory.assigned_memory, Some(192 << 8));

    // What is inside is reached through a guest that is connected, and there is none.
    refused(system.run(&crate::command(&["true"])).wait(), Cause::NotConfigured);

    console.type_line("hello");
    console.until("heard hello");
    console.until("count 5\n");
    system.pause(None).wait().unwrap();
    console.drain();
    assert!(console.is_silent_for(Duration::from_millis(500)), "a paused machine goes on");
    system.resume().wait().unwrap();
    console.until("count");
    console.type_line("");
    console.until("off");
    let status = end(&service, &guest, &system);
    assert_eq!((status.status, status.exit_type), (Some(0), Some(NotificationType::GracefulExit)));
}

#[test]
fn a_machine_ends_as_it_is_asked_to_or_as_it_does_by_itself() {
    let mut service = Service::start();
    service.be_patient();
    // Somebody listens to the power button, whose event has 24 bytes.
    let button = "for event in /sys/class/input/event*; do
             grep -q Power $event/device/name && button=/dev/input/${event##*/}
         done
         exec 3<$button
         (dd bs=24 count=1 <&3 >/dev/null 2>&1; poweroff -f) &";
    let guest = Guest::make(
        service.root(),
        &format!("{button} echo ready; while read line; do sh -c \"$line\"; done"),
    );

    let (system, _console) = running(&service, &guest);
    system.shut_down(None).wait().unwrap();
    let status = end(&service, &guest, &system);
    assert_eq!((status.status, status.exit_type), (Some(0), Some(NotificationType::GracefulExit)));

    let (system, mut console) = running(&service, &guest);
    console.type_line("echo c >/proc/sysrq-trigger");
    // A guest waits for whoever is connected and does not listen.
    assert!(console.to_the_end().contains("Kernel panic"));
    let status = end(&service, &guest, &system);
    assert_eq!(status.exit_type, Some(NotificationType::UnexpectedExit));
    assert!(status.attribution.unwrap().iter().any(|record| record.guest_crash.is_some()));

    // Whoever dies, the guest need not have come up.
    let system = service.running_from("vm", &guest.document());
    processes::signal(qemu(&service), Signal::KILL);
    let status = end(&service, &guest, &system);
    assert_eq!(status.exit_type, Some(NotificationType::UnexpectedExit));
    let worker = status.attribution.unwrap().into_iter().find_map(|record| record.worker_exit).unwrap();
    assert_eq!(worker.exit_code, Some(137));

    let system = service.running_from("vm", &guest.document());
    processes::signal(service.worker(&system), Signal::KILL);
    assert_eq!(end(&service, &guest, &system).exit_type, Some(NotificationType::UnexpectedExit));

    // A reset begins anew, unless it is to be the end.
    let (system, mut console) = running(&service, &guest);
    console.type_line("reboot -f");
    console.until("ready");
    system.terminate().wait().unwrap();
    assert_eq!(end(&service, &guest, &system).exit_type, Some(NotificationType::ForcedExit));
    let document = guest.document_with(|machine| machine.stop_on_reset(true));
    let system = service.running_from("vm", &document);
    let mut console = guest.console();
    console.until("ready");
    console.type_line("reboot -f");
    console.to_the_end();
    let status = end(&service, &guest, &system);
    assert_eq!(status.exit_type, Some(NotificationType::GracefulExit));
    let worker = status.attribution.unwrap().into_iter().find_map(|record| record.worker_exit).unwrap();
    assert_eq!(worker.type_, Some(WorkerExitType::StoppedOnReset));
}

/// Where the QEMU of the tests is.
fn qemu_prefix() -> PathBuf {
    hcs_tests::machine::qemu().parent().unwrap().parent().unwrap().to_owned()
}

/// An image that the user of every machine may write, as nobody but a test would have it.
fn image(folder: &Path, format: &str, name: &str) -> PathBuf {
    let image = folder.join(name);
    host("qemu-img", &["create", "-q", "-f", format, image.to_str().unwrap(), "20M"]);
    fs::set_permissions(&image, fs::Permissions::from_mode(0o666)).unwrap();
    image
}

fn with_disks(guest: &Guest, disks: &[(&str, AttachmentType, &Path, bool)]) -> hcs::schema::ComputeSystem {
    let attachments = disks.iter().map(|(lun, kind, path, read_only)| {
        let attachment =
            Attachment::default().type_(*kind).path(path.display().to_string()).read_only(*read_only);
        ((*lun).to_owned(), attachment)
    });
    let scsi = Scsi::default().attachments(attachments.collect::<std::collections::BTreeMap<_, _>>());
    guest.document_with(|machine| {
        let devices: Devices = machine.devices.clone().unwrap_or_default();
        machine.devices(devices.scsi([("one".to_owned(), scsi)]))
    })
}

#[test]
fn disks_of_every_format_are_where_the_document_says_and_keep_what_is_written() {
    let service = Service::start();
    let root = service.root();
    let script = "cd /sys/class/scsi_device; for disk in *; do
             lun=${disk##*:}; block=$(ls $disk/device/block)
             echo lun $lun $block $(cat $disk/device/block/$block/size) $(cat $disk/device/block/$block/ro)
             if [ $lun -lt 8 ]; then echo written to $lun | dd of=/dev/$block seek=100 conv=sync,fsync 2>/dev/null; fi
         done
         cat /dev/sr0 | head -c 11; echo; echo done; sync; poweroff -f";
    let guest = Guest::make(root, script);
    let formats =
        [("0", "raw", "a.img"), ("3", "vhdx", "b.vhdx"), ("5", "vpc", "c.vhd"), ("7", "qcow2", "d.qcow2")];
    let images: Vec<PathBuf> = formats.iter().map(|(_, format, name)| image(root, format, name)).collect();
    let (iso, fixed) = (root.join("cd.iso"), root.join("fixed.raw"));
    fs::write(&iso, [b"hello guest".to_vec(), vec![0; 4096 - 11]].concat()).unwrap();
    fs::write(&fixed, vec![7; 1 << 20]).unwrap();
    let mut disks: Vec<_> = formats
        .iter()
        .zip(&images)
        .map(|((lun, ..), path)| (*lun, AttachmentType::VirtualDisk, path.as_path(), false))
        .collect();
    disks.push(("9", AttachmentType::VirtualDisk, &fixed, true));
    disks.push(("12", AttachmentType::Iso, &iso, false));
    let system = service.running_from("vm", &with_disks(&guest, &disks));
    let said = guest.console().until("done");
    println!("{said}");
    for (lun, ..) in formats {
        assert!(said.contains(&format!("lun {lun} sd")), "{said}");
    }
    assert!(said.contains("lun 9 sd") && said.contains(" 2048 1\n"), "{said}");
    assert!(said.contains("lun 12 sr0") && said.contains("hello guest"), "{said}");
    assert_eq!(end(&service, &guest, &system).exit_type, Some(NotificationType::GracefulExit));
    for ((lun, format, _), image) in formats.iter().zip(&images) {
        let plain = root.join("plain");
        host(
            "qemu-img",
            &["convert", "-f", format, "-O", "raw", image.to_str().unwrap(), plain.to_str().unwrap()],
        );
        let written = fs::read(&plain).unwrap();
        let text = format!("written to {lun}");
        assert!(written[51_200..].starts_with(text.as_bytes()), "{format}");
    }
}

#[test]
fn a_machine_has_no_file_that_it_was_not_given() {
    let service = Service::start();
    let guest = Guest::make(service.root(), "echo ready; read line");
    let image = image(service.root(), "raw", "disk.img");
    fs::set_permissions(&image, fs::Permissions::from_mode(0o600)).unwrap();
    let document = with_disks(&guest, &[("0", AttachmentType::VirtualDisk, &image, false)]);
    let client = service.client();
    let system = client.create("vm", &document).wait().unwrap();
    let error = refused(system.start().wait(), Cause::AccessDenied);
    assert!(
        error.message.contains(image.to_str().unwrap()) && error.message.contains("Attachments"),
        "{error}"
    );
    assert!(!guest.port().exists());
    // With the right it starts, as the same system; the right of another is of no use.
    let hcs = |arguments: &[&str]| {
        let output = service
            .hcs()
            .arg("access")
            .args(arguments)
            .args(["--file", image.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    };
    hcs(&["grant", "neighbour"]);
    refused(system.start().wait(), Cause::AccessDenied);
    // The group of all machines may read, and this disk is to be written.
    hcs(&["grant", "--all"]);
    refused(system.start().wait(), Cause::AccessDenied);
    hcs(&["grant", "vm"]);
    system.start().wait().unwrap();
    guest.console().until("ready");
    for who in ["vm", "neighbour", "--all"] {
        hcs(&["revoke", who]);
    }
    let listed = host("getfacl", &["-cp", image.to_str().unwrap()]);
    assert_eq!(listed.trim(), "user::rw-\ngroup::---\nother::---");

    let other = Guest::make(&service.root().join("other"), "echo ready; read line");
    let neighbour = service.running_from("neighbour", &other.document());
    let of = |id: u32, name: &str| {
        let status = processes::read(id, "status");
        let line = status.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let all = service.leftovers().processes;
    assert_eq!(all.len(), 2);
    let users: Vec<_> = all.iter().map(|qemu| of(*qemu, "Uid:")[0].clone()).collect();
    assert!(users[0] != users[1] && users.iter().all(|user| user != "0"), "{users:?}");
    // Also who breaks out of it to the whole host has the rights of its own machine and of no other.
    hcs(&["grant", "vm"]);
    let opens = |user: &str| {
        let ids = [format!("--reuid={user}"), format!("--regid={user}")];
        let mut command = std::process::Command::new("setpriv");
        command
            .args(ids)
            .args(["--clear-groups", "head", "-c", "1"])
            .arg(&image)
            .output()
            .unwrap()
            .status
            .success()
    };
    let (own, other): (Vec<_>, Vec<_>) = users.iter().partition(|user| opens(user));
    assert_eq!((own.len(), other.len()), (1, 1), "{users:?}");
    for qemu in all {
        // Nothing of the host is there but what a program needs: no file of another, no folder of ours.
        let root = PathBuf::from(format!("/proc/{qemu}/root"));
        let mut seen: Vec<String> = fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        seen.retain(|name| !["bin", "lib", "lib32", "lib64"].contains(&name.as_str()));
        seen.sort();
        let own = qemu_prefix();
        let own = own.components().nth(1).unwrap().as_os_str().to_str().unwrap();
        // Sockets of devices would be in `devices`.
        let mut expected = vec!["dev", "devices", "etc", "proc", "usr", own];
        expected.sort();
        expected.dedup();
        assert_eq!(seen, expected);
        assert!(!root.join(image.strip_prefix("/").unwrap()).exists());
        assert!(!root.join("etc/passwd").exists());
        assert_eq!(fs::read_dir(root.join("devices")).unwrap().count(), 0);
        let devices = fs::metadata(root.join("devices")).unwrap();
        assert_eq!((devices.uid(), devices.mode() & 0o777), (0, 0o755));
        let names = fs::read_dir(root.join("proc")).unwrap().map(|entry| entry.unwrap().file_name());
        let numbers: Vec<u32> = names.filter_map(|name| name.to_str().unwrap().parse().ok()).collect();
        assert_eq!(numbers, [1], "processes of others are seen");
        let mounts = processes::read(qemu, "mountinfo");
        let written = mounts.lines().find(|line| {
            let options = line.split(' ').nth(5).unwrap();
            // The folder of sockets is root's, as was seen above.
            let is_ours = line.contains(" /proc ") || line.contains(" /devices ");
            options.split(',').all(|option| option != "ro") && !is_ours
        });
        assert_eq!(written, None, "{mounts}");
        assert_eq!(of(qemu, "CapPrm:"), ["0000000000000000"]);
        assert_eq!(
            (of(qemu, "NoNewPrivs:"), of(qemu, "Seccomp:")),
            (vec!["1".to_owned()], vec!["2".to_owned()])
        );
    }
    neighbour.terminate().wait().unwrap();
    system.terminate().wait().unwrap();
    service.await_nothing_left();
}

#[test]
fn a_machine_outlives_the_service_and_is_adopted() {
    let mut service = Service::start();
    let guest = Guest::make(
        service.root(),
        "n=0; echo ready; while :; do n=$((n + 1)); echo count $n; usleep 20000; done",
    );
    let mut document = guest.document();
    document.should_terminate_on_last_handle_closed = Some(false);
    let client = service.client();
    let system = client.create("vm", &document).wait().unwrap();
    system.start().wait().unwrap();
    let mut console = guest.console();
    console.until("count 3\n");
    service.kill();
    console.until("count 40\n");
    service.restart();
    let again = service.client().open("vm").wait().unwrap();
    let properties = again.properties(None).wait().unwrap();
    assert_eq!(
        (properties.state, properties.system_type),
        (Some(State::Running), Some(SystemType::VirtualMachine))
    );
    again.pause(None).wait().unwrap();
    console.drain();
    assert!(console.is_silent_for(Duration::from_millis(300)));
    again.resume().wait().unwrap();
    console.until("count");
    // Also of one whose worker dies while nobody looks nothing is left.
    let worker = service.worker(&again);
    service.kill();
    processes::signal(worker, Signal::KILL);
    service.restart();
    service.await_nothing_left();
    assert!(!guest.port().exists());
}

//! Virtual machines that are saved and go on, and clones of a template.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use hcs::{
    Cause, System, saved,
    schema::{
        Any, Attachment, AttachmentType, Chipset, ComPort, ComputeSystem, Keyboard, ModifyRequestType,
        ModifySettingRequest, Mouse, NetworkAdapter, NetworkLinux, NetworkMode, RestoreState, SaveOptions,
        SaveType, Scsi, SecuritySettings, SharedMemoryRegion, State, VideoMonitor, VirtualMachineMemory,
        VirtualPMemController, VirtualPMemDevice,
    },
};
use hcs_tests::{
    Service, host,
    machine::{Console, Guest, SHELL},
    processes,
};
use rustix::process::Signal;

use crate::refused;

/// A disk with a file system, which every machine may write.
fn disk(path: PathBuf) -> PathBuf {
    fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
    host("mke2fs", &["-q", "-t", "ext4", "-F", path.to_str().unwrap()]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    path
}

/// A machine with this disk, whose serial port is at this socket.
fn document(guest: &Guest, disk: &Path, port: &Path) -> ComputeSystem {
    let mut document = guest.document_with(|machine| {
        let devices = machine.devices.clone().unwrap_or_default();
        let attachment =
            Attachment::default().type_(AttachmentType::VirtualDisk).path(disk.display().to_string());
        let scsi = Scsi::default().attachments([("0".to_owned(), attachment)]);
        let port = ComPort::default().named_pipe(port.display().to_string());
        machine.devices(devices.scsi([("one".to_owned(), scsi)]).com_ports([("0".to_owned(), port)]))
    });
    document.should_terminate_on_last_handle_closed = Some(false);
    document
}

fn restored(mut document: ComputeSystem, from: RestoreState) -> ComputeSystem {
    document.virtual_machine = document.virtual_machine.map(|machine| machine.restore_state(from));
    document
}

fn from_file(path: &Path) -> RestoreState {
    RestoreState::default().save_state_file_path(path.display().to_string())
}

fn to_file(path: &Path) -> SaveOptions {
    SaveOptions::default().save_type(SaveType::ToFile).save_state_file_path(path.display().to_string())
}

/// A file that a machine can be saved to.
fn target(path: PathBuf) -> PathBuf {
    saved::create_empty_runtime_state(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    path
}

fn saved_to(system: &System, path: &Path) {
    system.pause(None).wait().unwrap();
    system.save(&to_file(path)).wait().unwrap();
}

#[test]
fn a_machine_goes_on_where_it_was_saved_and_its_disk_is_whole() {
    let mut service = Service::start();
    let root = service.root().to_owned();
    let script = "mount /dev/sda /mnt
         (n=0; while :; do n=$((n + 1)); echo $n >/mnt/file$((n % 50)); echo $n >/tmp/count; done) &";
    let guest = Guest::make(&root, &format!("{script}\n{SHELL}"));
    let (disk, file) = (disk(root.join("disk")), target(root.join("vm.vmrs")));
    let document = document(&guest, &disk, &guest.port());
    let system = service.running_from("vm", &document);
    let mut console = guest.console();
    console.until("ready");
    console.run("secret=$(cat /proc/sys/kernel/random/uuid); until test $(cat /tmp/count) -gt 10 2>/dev/null; do sleep 1; done");
    refused(system.save(&to_file(&file)).wait(), Cause::InvalidState);
    saved_to(&system, &file);
    // It is still there, and can be saved once more, and goes on.
    system.save(&to_file(&file)).wait().unwrap();
    system.resume().wait().unwrap();
    let secret = console.run("echo $secret");
    let count = |console: &mut Console| {
        // It is being written all the time.
        let said = console.run("c=; until test -n \"$c\"; do c=$(cat /tmp/count); done; echo $c");
        said.trim().parse::<u64>().unwrap()
    };
    let before = count(&mut console);
    saved_to(&system, &file);
    // The zeros of its memory take no room.
    let allocated = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&file).unwrap()) * 512;
    assert!(allocated < 150 << 20, "{allocated} bytes");
    // Everything dies.
    let worker = service.worker(&system);
    service.kill();
    processes::signal(worker, Signal::KILL);
    service.restart();
    service.await_nothing_left();

    let document = restored(document, from_file(&file));
    let system = service.running_from("vm", &document);
    let mut console = guest.console();
    assert_eq!(console.run("echo $secret"), secret);
    let after = count(&mut console);
    assert!(after >= before, "{after} of {before}");
    console.run("kill %1; wait; sync; umount /mnt");
    // Also what was restored can be saved, and by whoever types it, to a file that is not there yet.
    saved_to(&system, &file);
    let typed = root.join("typed.vmrs");
    let output = service.hcs().args(["save", "vm"]).arg(&typed).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(saved::processor_requirements(&typed).is_ok());
    system.terminate().wait().unwrap();
    service.await_nothing_left();
    host("e2fsck", &["-fn", disk.to_str().unwrap()]);
    assert!(!root.join("vm.vmrs.partial").exists());
    let again = service.running_from("vm", &document);
    let mut console = guest.console();
    assert_eq!(console.run("echo $secret"), secret);
    again.terminate().wait().unwrap();
}

#[test]
fn what_cannot_be_restored_is_refused_by_name_before_anything_starts() {
    let service = Service::start();
    let root = service.root().to_owned();
    let guest = Guest::make(&root, SHELL);
    let (disk, file) = (disk(root.join("disk")), target(root.join("vm.vmrs")));
    let document = document(&guest, &disk, &guest.port());
    let client = service.client();
    let whole = |file: &Path| restored(document.clone(), from_file(file));
    let error = refused(client.create("vm", &whole(&file)).wait(), Cause::InvalidData);
    assert!(error.message.contains("SaveStateFilePath") && error.message.contains("empty"), "{error}");
    let system = service.running_from("vm", &document);
    guest.console().until("ready");
    saved_to(&system, &file);
    system.terminate().wait().unwrap();
    service.await_nothing_left();
    assert!(saved::processor_requirements(&file).unwrap().processor_features.is_none());

    // Another machine than the one that was saved.
    let mut other = whole(&file);
    let machine = other.virtual_machine.as_mut().unwrap();
    let processor = machine.compute_topology.as_mut().unwrap().processor.as_mut().unwrap();
    processor.count = Some(2);
    let error = refused(client.create("vm", &other).wait(), Cause::InvalidData);
    assert!(error.message.contains("number of processors 1"), "{error}");
    // A part of the file, and a file of which a bit has turned: of its description, and of its memory.
    let bytes = fs::read(&file).unwrap();
    let with = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let (path, mut bytes) = (root.join(name), bytes.clone());
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    };
    let short = with("short", &|bytes| bytes.truncate(5 << 20));
    let error = refused(client.create("vm", &whole(&short)).wait(), Cause::InvalidData);
    assert!(error.message.contains("truncated"), "{error}");
    let newer = with("newer", &|bytes| bytes[8] = 9);
    refused(client.create("vm", &whole(&newer)).wait(), Cause::NotSupported);
    let damaged = with("damaged", &|bytes| {
        let place = bytes.len() - (2 << 20);
        bytes[place] ^= 1;
    });
    let system = client.create("vm", &whole(&damaged)).wait().unwrap();
    let error = refused(system.start().wait(), Cause::InvalidData);
    assert!(error.message.contains("checksum"), "{error}");
    assert_eq!(service.leftovers().processes, [0u32; 0], "something was started");
    system.terminate().wait().unwrap();
    // What a processor here cannot do. The description says how long it is, so it stays as long.
    let foreign = with("foreign", &|_| {});
    let edited = fs::OpenOptions::new().read(true).write(true).open(&foreign).unwrap();
    hcs_tests::vmrs::need_processor_feature(&edited, "AmdAes");
    let error = refused(client.create("vm", &whole(&foreign)).wait(), Cause::NotSupported);
    assert!(error.message.contains("AmdAes"), "{error}");
    let template = restored(document.clone(), RestoreState::default().template_system_id("nobody"));
    refused(client.create("vm", &template).wait(), Cause::NotFound);
    refused(client.create("vm", &whole(Path::new("/nowhere/at/all"))).wait(), Cause::FileNotFound);
    service.await_nothing_left();
}

/// KiB of memory that a process has for itself.
fn private(process: u32) -> u64 {
    let text = processes::read(process, "smaps_rollup");
    let of = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    of("Private_Dirty:") + of("Private_Clean:")
}

#[test]
fn ten_clones_of_a_template_go_their_own_ways() {
    const CLONES: usize = 10;
    let service = Service::start();
    let root = service.root().to_owned();
    let guest = Guest::make(
        &root,
        &format!("mount /dev/sda /mnt; echo template >/mnt/name; sync; umount /mnt; {SHELL}"),
    );
    let original = disk(root.join("disk"));
    let template = service.running_from("template", &document(&guest, &original, &guest.port()));
    let mut console = guest.console();
    console.until("ready");
    console.run("name=template; echo $name >/tmp/name; cat /proc/sys/kernel/random/uuid >/tmp/uuid");
    refused(
        template.save(&SaveOptions::default().save_type(SaveType::AsTemplate)).wait(),
        Cause::InvalidState,
    );
    template.pause(None).wait().unwrap();
    template.save(&SaveOptions::default().save_type(SaveType::AsTemplate)).wait().unwrap();
    assert_eq!(template.properties(None).wait().unwrap().state, Some(State::SavedAsTemplate));
    refused(template.resume().wait(), Cause::InvalidState);
    let own = |number: usize, name: &str| root.join(format!("{name}-{number}"));
    let clones: Vec<System> = (0..CLONES)
        .map(|number| {
            let copy = own(number, "disk");
            host("cp", &["--sparse=always", original.to_str().unwrap(), copy.to_str().unwrap()]);
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o666)).unwrap();
            let from = RestoreState::default().template_system_id("TEMPLATE");
            let document = restored(document(&guest, &copy, &own(number, "port")), from);
            let name = format!("clone-{number}");
            service.client().create(&name, &document).wait().unwrap()
        })
        .collect();
    std::thread::scope(|scope| {
        for clone in &clones {
            scope.spawn(|| clone.start().wait().unwrap());
        }
    });
    let of_clone = clones[0].properties(None).wait().unwrap();
    assert_eq!(of_clone.runtime_template_id.as_deref(), Some("TEMPLATE"));
    assert_ne!(of_clone.runtime_id, template.properties(None).wait().unwrap().runtime_id);
    let mut consoles: Vec<Console> = (0..CLONES).map(|number| Console::at(&own(number, "port"))).collect();
    for (number, console) in consoles.iter_mut().enumerate() {
        assert!(console.run("echo $name; cat /tmp/name").contains("template\ntemplate"));
        console.run(&format!(
            "name=clone{number}; echo $name >/tmp/name; mount /dev/sda /mnt; echo $name >/mnt/name; sync"
        ));
    }
    for (number, console) in consoles.iter_mut().enumerate() {
        let said = console.run("echo $name; cat /tmp/name /mnt/name");
        assert_eq!(said.trim(), format!("clone{number}\nclone{number}\nclone{number}"));
        console.run("umount /mnt");
    }
    // What a new kernel draws from its pool is its own: it was told that it is another.
    let mut drawn: Vec<String> =
        consoles.iter_mut().map(|console| console.run("cat /proc/sys/kernel/random/uuid")).collect();
    drawn.sort();
    drawn.dedup();
    assert_eq!(drawn.len(), CLONES);
    let qemus = service.leftovers().processes;
    assert_eq!(qemus.len(), CLONES + 1);
    let mut memory: Vec<u64> = qemus.into_iter().map(private).collect();
    memory.sort_unstable();
    println!("private memory in KiB: {memory:?}");
    refused(clones[0].save(&SaveOptions::default()).wait(), Cause::InvalidState);
    // Clones outlive what they were made from.
    template.terminate().wait().unwrap();
    for (number, (clone, console)) in clones.iter().zip(&mut consoles).enumerate() {
        assert!(console.run("cat /tmp/name").contains(&format!("clone{number}")));
        clone.terminate().wait().unwrap();
    }
    service.await_nothing_left();
    for number in 0..CLONES {
        let said =
            Command::new("debugfs").args(["-R", "cat name"]).arg(own(number, "disk")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), format!("clone{number}"));
    }
}

#[test]
fn clones_have_addresses_of_their_own() {
    let service = Service::start();
    let root = service.root().to_owned();
    let guest = Guest::make(&root, &format!("load virtio_net; {SHELL}"));
    let disk = disk(root.join("disk"));
    let with_adapter = |port: &Path| {
        let mut document = document(&guest, &disk, port);
        let machine = document.virtual_machine.as_mut().unwrap();
        let linux = NetworkLinux::default().mode(NetworkMode::User);
        let adapter = NetworkAdapter::default().linux(linux);
        let devices = machine.devices.take().unwrap();
        machine.devices = Some(devices.network_adapters([("one".to_owned(), adapter)]));
        document
    };
    let template = service.running_from("template", &with_adapter(&guest.port()));
    let mut console = guest.console();
    console.until("ready");
    let address = "cat /sys/class/net/eth*/address";
    let of_template = console.run(address).trim().to_owned();
    template.pause(None).wait().unwrap();
    template.save(&SaveOptions::default().save_type(SaveType::AsTemplate)).wait().unwrap();
    let mut addresses = vec![of_template.clone()];
    for number in 0..2 {
        let port = root.join(format!("port-{number}"));
        let document = restored(with_adapter(&port), RestoreState::default().template_system_id("template"));
        let mut one = document.clone();
        let machine = one.virtual_machine.as_mut().unwrap();
        // The disk is not the clones' matter here, and is that of nobody twice.
        let copy = root.join(format!("disk-{number}"));
        fs::copy(&disk, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o666)).unwrap();
        let controllers = machine.devices.as_mut().unwrap().scsi.as_mut().unwrap();
        let attachments = controllers.get_mut("one").unwrap().attachments.as_mut().unwrap();
        attachments.get_mut("0").unwrap().path = Some(copy.display().to_string());
        let clone = service.running_from(&format!("clone-{number}"), &one);
        let mut console = Console::at(&port);
        let changed = format!(
            "for i in 1 2 3 4 5 6 7 8 9; do a=$({address} 2>/dev/null); test -n \"$a\" -a \"$a\" != {of_template} && break; sleep 1; done; echo $a"
        );
        addresses.push(console.run(&changed).trim().to_owned());
        console.run("ip link set $(basename /sys/class/net/eth*) up");
        clone.terminate().wait().unwrap();
    }
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    template.terminate().wait().unwrap();
    service.await_nothing_left();
}

#[test]
fn a_machine_with_every_kind_of_device_goes_on() {
    let mut service = Service::start();
    service.be_patient();
    let root = service.root().to_owned();
    let guest =
        Guest::make(&root, &format!("load virtio_net; load virtio_balloon; load virtio_mem; {SHELL}"));
    let (disk, file) = (disk(root.join("disk")), target(root.join("vm.vmrs")));
    let (pmem, section) = (root.join("pmem"), root.join("section"));
    for path in [&pmem, &section] {
        fs::File::create(path).unwrap().set_len(4 << 20).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    }
    let mut document = document(&guest, &disk, &guest.port());
    let machine = document.virtual_machine.take().unwrap();
    let linux = NetworkLinux::default().mode(NetworkMode::User);
    let persistent = VirtualPMemDevice::default().host_path(pmem.display().to_string());
    let region = SharedMemoryRegion::default().section_name(section.display().to_string()).length(1u64 << 20);
    let devices = machine.devices.clone().unwrap_or_default();
    let devices = devices
        .network_adapters([("one".to_owned(), NetworkAdapter::default().linux(linux))])
        .video_monitor(VideoMonitor::default())
        .keyboard(Keyboard::default())
        .mouse(Mouse::default())
        .virtual_pmem(VirtualPMemController::default().devices([("0".to_owned(), persistent)]));
    let mut topology = machine.compute_topology.clone().unwrap_or_default();
    topology.memory = Some(VirtualMachineMemory::default().size_in_mb(512u64).enable_hot_hint(true));
    document.virtual_machine = Some(
        machine
            .chipset(Chipset::default().uefi(guest.uefi()))
            .compute_topology(topology)
            .devices(devices)
            .security_settings(SecuritySettings::default().enable_tpm(true)),
    );
    let system = service.running_from("vm", &document);
    let mut console = guest.console();
    console.until("ready");
    let more = ModifySettingRequest::default()
        .resource_path("VirtualMachine/ComputeTopology/Memory/SizeInMB")
        .settings(Any::from_value(&1024).unwrap());
    system.modify(&more).wait().unwrap();
    let memory = "grep MemTotal /proc/meminfo";
    // What the machine has given, the guest's kernel takes into use a moment later.
    console.run(&format!(
        "seen=; for i in 1 2 3 4 5 6 7 8 9; do now=$({memory}); test \"$now\" = \"$seen\" && break; seen=$now; sleep 1; done"
    ));
    let facts = format!("cat /sys/class/net/eth0/address /sys/class/tpm/tpm0/pcr-sha256/0; {memory}");
    let before = console.run(&facts).trim().to_owned();
    // What it shares with the host at the moment, nobody could give it later.
    let share = |kind| {
        ModifySettingRequest::default()
            .resource_path("VirtualMachine/Devices/SharedMemory/Regions")
            .request_type(kind)
            .settings(Any::from_value(&region).unwrap())
    };
    system.modify(&share(ModifyRequestType::Add)).wait().unwrap();
    system.pause(None).wait().unwrap();
    let error = refused(system.save(&to_file(&file)).wait(), Cause::NotSupported);
    assert!(error.message.contains("shares memory"), "{error}");
    system.resume().wait().unwrap();
    system.modify(&share(ModifyRequestType::Remove)).wait().unwrap();
    saved_to(&system, &file);
    system.terminate().wait().unwrap();
    service.await_nothing_left();
    let system = service.running_from("vm", &restored(document, from_file(&file)));
    let mut console = guest.console();
    assert_eq!(console.run(&facts).trim(), before);
    // Its memory still grows and shrinks.
    let less = more.clone().settings(Any::from_value(&768).unwrap());
    system.modify(&less).wait().unwrap();
    assert_ne!(console.run(memory), before);
    console.run("ip link set eth0 up; head -c 512 /dev/sda >/dev/null");
    assert!(!system.screenshot().wait().unwrap().is_empty());
    system.terminate().wait().unwrap();
    service.await_nothing_left();
}

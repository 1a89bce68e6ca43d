//! A utility machine whose client was written for Hyper-V: what it says of it, and how it counts what it adds.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use hcs::schema::{
    Attachment, AttachmentType, ComputeSystem, ModifyRequestType, Plan9, Scsi, VirtualMachineHvSocket,
    VirtualPMemController, VirtualPMemDevice,
};
use hcs_core::id::COUNTED_SCSI_CONTROLLERS;
use hcs_tests::{Service, counts, host, machine::with_memory};
use serde_json::{Value, json};

use crate::{
    guest_resources::request,
    output,
    place::{Place, utility_by_sockets},
};

/// What it has the kernel begin with.
const LINE: &str = " initcall_blacklist=virtio_vsock_init 8250_core.nr_uarts=0 panic=-1 quiet pci=off nr_cpus=2 brd.rd_nr=0 \
    pmtmr=0 -- -e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info";

/// Its machine.
fn document(service: &Service) -> ComputeSystem {
    // The program of busybox makes such a file system, but has another name.
    let program = service.rootfs().join("bin/mkfs.ext4");
    fs::write(&program, "#!/bin/sh\nexec mke2fs \"$@\"\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut document = utility_by_sockets(service);
    document.virtual_machine = document.virtual_machine.map(|machine| {
        let mut chipset = machine.chipset.clone().unwrap_or_default();
        let line = format!("{}{LINE}", counts::on_the_command_line());
        chipset.linux_kernel_direct = chipset.linux_kernel_direct.map(|direct| direct.kernel_cmd_line(line));
        let devices = machine.devices.clone().unwrap_or_default();
        let memory = VirtualPMemController::default().maximum_count(64u8).maximum_size_bytes(4u64 << 30);
        let devices = devices
            .scsi(COUNTED_SCSI_CONTROLLERS.map(|id| (id.to_owned(), Scsi::default())))
            .virtual_pmem(memory)
            .hv_socket(VirtualMachineHvSocket::default())
            .plan9(Plan9::default());
        with_memory(machine, 320).chipset(chipset).devices(devices)
    });
    document
}

/// An image for the machine, with a file system or empty.
fn image(path: &Path, has_file_system: bool) -> String {
    fs::File::create(path).unwrap().set_len(16 << 20).unwrap();
    if has_file_system {
        host("mke2fs", &["-q", "-t", "ext4", "-F", path.to_str().unwrap()]);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    path.display().to_string()
}

#[test]
fn a_machine_for_hyper_v_boots_and_what_its_client_adds_is_where_it_counts_it() {
    use ModifyRequestType::{Add, Remove};
    let service = Service::start();
    let (layer, scratch) =
        (image(&service.root().join("layer"), true), image(&service.root().join("scratch"), false));
    let system = service.running_from("vm", &document(&service));
    let disk = |path: &str| {
        let attachment = Attachment::default().type_(AttachmentType::VirtualDisk).path(path);
        serde_json::to_value(&attachment).unwrap()
    };
    // The first of its controllers, as it counts them, is not the first by its name.
    for (number, id) in COUNTED_SCSI_CONTROLLERS.into_iter().enumerate() {
        let place = format!("VirtualMachine/Devices/Scsi/{id}/Attachments/3");
        let mounted = json!({
            "MountPath": "/run/disk", "Controller": number, "Lun": 3, "EnsureFilesystem": true, "Filesystem": "ext4",
        });
        let added = request(Add, &place, &disk(&scratch), "MappedVirtualDisk", &mounted);
        system.modify(&added).wait().unwrap();
        // What was written at one is there at the next: only what has no file system gets one.
        let said = output(&system, "cat /run/disk/seen 2>/dev/null; echo seen >> /run/disk/seen");
        assert_eq!(said, "seen\n".repeat(number));
        // First the guest lets the file system go, then the device, then the host takes it.
        let unmounted = request(Remove, "", &Value::Null, "MappedVirtualDisk", &mounted);
        system.modify(&unmounted).wait().unwrap();
        output(&system, "ls -d /sys/class/scsi_device/*:3");
        let dropped = json!({"Controller": number, "Lun": 3});
        system.modify(&request(Remove, &place, &disk(&scratch), "SCSIDevice", &dropped)).wait().unwrap();
        output(&system, "! ls -d /sys/class/scsi_device/*:3 2>/dev/null");
    }
    let memory = VirtualPMemDevice::default().host_path(layer).read_only(true);
    let memory = serde_json::to_value(&memory).unwrap();
    let mounted = json!({"DeviceNumber": 5, "MountPath": "/run/layers/p5"});
    let place = "VirtualMachine/Devices/VirtualPMem/Devices/5";
    system.modify(&request(Add, place, &memory, "VPMemDevice", &mounted)).wait().unwrap();
    output(&system, "ls -d /run/layers/p5/lost+found; ! touch /run/layers/p5/x 2>/dev/null");
    system.modify(&request(Remove, "", &Value::Null, "VPMemDevice", &mounted)).wait().unwrap();
    output(&system, "! ls -d /run/layers/p5 2>/dev/null");
    Place { system, host: None, service }.end();
}

//! Virtual machines that begin with firmware.

use std::fs;

use hcs::{
    Cause,
    schema::{
        Attachment, AttachmentType, Chipset, ComputeSystem, NotificationType, Scsi, Uefi, UefiBootDevice,
        UefiBootEntry,
    },
};
use hcs_tests::{Service, machine::Guest};

use crate::refused;

/// A machine that boots by UEFI, with this disk as number 3 of its only controller.
fn document(guest: &Guest, uefi: Uefi, disk: Option<&std::path::Path>) -> ComputeSystem {
    guest.document_with(|machine| {
        let devices = machine.devices.clone().unwrap_or_default();
        let attachment = |path: &std::path::Path| {
            Attachment::default().type_(AttachmentType::VirtualDisk).path(path.display().to_string())
        };
        let attachments = disk.map(|path| ("3".to_owned(), attachment(path)));
        let attachments: std::collections::BTreeMap<_, _> = attachments.into_iter().collect();
        let scsi = Scsi::default().attachments(attachments);
        let mut topology = machine.compute_topology.clone().unwrap_or_default();
        topology.memory = topology.memory.map(|memory| memory.size_in_mb(384u64));
        machine
            .chipset(Chipset::default().uefi(uefi))
            .compute_topology(topology)
            .devices(devices.scsi([("boot".to_owned(), scsi)]))
    })
}

fn from_disk(number: u16) -> Uefi {
    let entry = UefiBootEntry::default().device_type(UefiBootDevice::ScsiDrive).device_path("boot");
    Uefi::default().boot_this(entry.disk_number(number))
}

const SCRIPT: &str = "test -d /sys/firmware/efi && echo by UEFI; echo ready; read line; poweroff -f";

#[test]
fn uefi_boots_the_disk_that_the_document_names() {
    let service = Service::start();
    let guest = Guest::make(service.root(), SCRIPT);
    let disk = guest.efi_disk();
    let error = refused(
        service.client().create("vm", &document(&guest, from_disk(4), Some(&disk))).wait(),
        Cause::InvalidData,
    );
    assert!(error.message.contains("DiskNumber"), "{error}");
    let system = service.running_from("vm", &document(&guest, from_disk(3), Some(&disk)));
    let mut console = guest.console();
    let said = console.until("ready");
    assert!(said.contains("by UEFI"), "{said}");
    console.type_line("");
    console.to_the_end();
    assert_eq!(system.wait_blocking().unwrap().exit_type, Some(NotificationType::GracefulExit));
    service.await_nothing_left();
}

#[test]
fn uefi_boots_a_kernel_from_a_folder_of_the_host() {
    let service = Service::start();
    let guest = Guest::make(service.root(), SCRIPT);
    let entry = |root: &str| {
        let entry = UefiBootEntry::default()
            .device_type(UefiBootDevice::VmbFs)
            .vmbfs_root_path(root)
            .device_path("\\kernel")
            .optional_data("initrd=\\initrd console=ttyS0 quiet");
        Uefi::default().boot_this(entry)
    };
    let root = guest.folder().display().to_string();
    let system = service.running_from("vm", &document(&guest, entry(&root), None));
    let mut console = guest.console();
    let said = console.until("ready");
    assert!(said.contains("by UEFI"), "{said}");
    system.terminate().wait().unwrap();
    service.await_nothing_left();
    fs::rename(guest.folder().join("kernel"), guest.folder().join("other")).unwrap();
    let system = service.client().create("vm", &document(&guest, entry(&root), None)).wait().unwrap();
    let error = refused(system.start().wait(), Cause::FileNotFound);
    assert!(error.message.contains("BootThis.DevicePath"), "{error}");
}

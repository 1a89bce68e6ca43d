//! Virtual machines that begin with firmware.

use std::fs;

use hcs::{
    Cause,
    schema::{
        ApplySecureBootTemplateType, Attachment, AttachmentType, Chipset, ComputeSystem, Guid,
        NotificationType, Scsi, SecuritySettings, Uefi, UefiBootDevice, UefiBootEntry,
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

#[test]
fn a_secure_boot_starts_nothing_that_is_not_signed() {
    let service = Service::start();
    let guest = Guest::make(service.root(), SCRIPT);
    let disk = guest.efi_disk();
    let microsoft = "1734c6e8-3154-4dda-ba5f-a874cc483422".parse::<Guid>().unwrap();
    let uefi = from_disk(3).secure_boot_template_id(microsoft);
    let system = service.running_from("vm", &document(&guest, uefi.clone(), Some(&disk)));
    guest.console().until("Access Denied");
    system.terminate().wait().unwrap();
    service.await_nothing_left();
    // The same disk, when the template is not applied.
    let skipped = uefi.apply_secure_boot_template(ApplySecureBootTemplateType::Skip);
    let system = service.running_from("vm", &document(&guest, skipped, Some(&disk)));
    guest.console().until("ready");
    system.terminate().wait().unwrap();
    let other =
        from_disk(3).secure_boot_template_id("4292ae2b-ee2c-42b5-a969-dd8f8689f6f3".parse::<Guid>().unwrap());
    let refusal = service.client().create("vm2", &document(&guest, other, Some(&disk))).wait();
    refused(refusal, Cause::NotSupported);
}

#[test]
fn a_trusted_platform_module_measures_what_is_booted() {
    let service = Service::start();
    let script =
        "cat /sys/class/tpm/tpm0/tpm_version_major /sys/class/tpm/tpm0/pcr-sha256/0; echo ready; read line";
    let guest = Guest::make(service.root(), script);
    let disk = guest.efi_disk();
    let mut wanted = document(&guest, from_disk(3), Some(&disk));
    let machine = wanted.virtual_machine.take().unwrap();
    wanted.virtual_machine = Some(machine.security_settings(SecuritySettings::default().enable_tpm(true)));
    let system = service.running_from("vm", &wanted);
    let said = guest.console().until("ready");
    let words: Vec<&str> = said.split_whitespace().rev().skip(1).take(2).collect();
    assert_eq!(words[1], "2", "{said}");
    assert!(words[0].len() == 64 && words[0].bytes().any(|byte| byte != b'0'), "{said}");
    system.terminate().wait().unwrap();
    service.await_nothing_left();
}

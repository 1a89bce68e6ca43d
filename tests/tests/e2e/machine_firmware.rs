//! Virtual machines that begin with firmware.

use std::fs;

use hcs::{
    Cause, saved,
    schema::{
        ApplySecureBootTemplateType, Attachment, AttachmentType, Chipset, ComputeSystem, GuestState, Guid,
        NotificationType, Scsi, SecuritySettings, Uefi, UefiBootDevice, UefiBootEntry,
    },
};
use hcs_tests::{
    Service, host,
    machine::{Guest, SHELL, with_memory},
};

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
        with_memory(machine, 384)
            .chipset(Chipset::default().uefi(uefi))
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
    let document = document(&guest, guest.uefi(), None);
    let system = service.running_from("vm", &document);
    let mut console = guest.console();
    let said = console.until("ready");
    assert!(said.contains("by UEFI"), "{said}");
    system.terminate().wait().unwrap();
    service.await_nothing_left();
    fs::rename(guest.folder().join("kernel"), guest.folder().join("other")).unwrap();
    let system = service.client().create("vm", &document).wait().unwrap();
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

/// What a reader that shares nothing with ours finds in a guest state file: the lengths of the files in it by their numbers,
/// and whether one of them has this text, in the letters that UEFI uses.
fn found_in_guest_state(file: &std::path::Path, text: &str) -> serde_json::Value {
    const READER: &str = "
import json, struct, sys, zlib
data, text = open(sys.argv[1], 'rb').read(), sys.argv[2].encode('utf-16le')
foot = data[-512:]
assert foot[:8] == b'conectix' and struct.unpack('>I', foot[60:64])[0] == 2
assert struct.unpack('>I', foot[64:68])[0] == ~(sum(foot) - sum(foot[64:68])) & 0xffffffff
size = struct.unpack('>Q', foot[48:56])[0]
assert size == len(data) - 512
def header(at):
    raw = data[at:at + 168]
    if raw[:8] != b'GUESTRTS': return None
    version, check, number, length, table, blocks = struct.unpack('<6I', raw[8:32])
    assert (version, length, blocks) == (0x30000, 168, 1)
    assert zlib.crc32(raw[:12] + bytes(4) + raw[16:]) == check
    return number, table
table = max(found for found in (header(0), header(512)) if found)[1]
found = {}
for number in range(64):
    block, blocks, length = struct.unpack('<IIQ', data[table * 4096 + number * 64:][:16])
    if blocks:
        content = data[block * 4096:][:length]
        assert (block + blocks) * 4096 <= size and length <= blocks * 4096
        found[number] = [length, text in content]
at, variables = 0, 0
if 1 in found:
    block = struct.unpack('<I', data[table * 4096 + 64:][:4])[0]
    while at < found[1][0]:
        kind, length = struct.unpack('<II', data[block * 4096 + at:][:8])
        assert kind == 0 and length >= 48
        at, variables = at + length, variables + 1
    assert at == found[1][0]
print(json.dumps({'files': found, 'variables': variables}))
";
    let output =
        std::process::Command::new("python3").args(["-c", READER]).arg(file).arg(text).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn variables_of_the_firmware_and_the_module_are_remembered_over_runs() {
    let mut service = Service::start();
    service.be_patient();
    let script = format!("load efivarfs; mount -t efivarfs efivarfs /sys/firmware/efi/efivars; {SHELL}");
    let guest = Guest::make(service.root(), &script);
    let disk = guest.efi_disk();
    let file = service.root().join("guest.vmgs");
    saved::create_empty_guest_state(&file).unwrap();
    let fresh = found_in_guest_state(&file, "HcsTest");
    assert_eq!(
        fresh,
        serde_json::json!({"files": {"0": [4096, false], "63": [4096, false]}, "variables": 0})
    );
    let with = |transient: bool| {
        let mut wanted = document(&guest, from_disk(3), Some(&disk));
        let machine = wanted.virtual_machine.take().unwrap();
        let state = GuestState::default()
            .guest_state_file_path(file.display().to_string())
            .force_transient_state(transient);
        let machine =
            machine.guest_state(state).security_settings(SecuritySettings::default().enable_tpm(true));
        wanted.virtual_machine = Some(machine);
        wanted
    };
    let variable =
        |name: &str| format!("/sys/firmware/efi/efivars/{name}-5f6c3a1e-0000-4000-8000-00000000abcd");
    let set = |name: &str, text: &str| format!("printf '\\007\\000\\000\\000{text}' >{}", variable(name));
    // Nobody else may use it, and the machine only if it was allowed to.
    let system = service.client().create("vm", &with(false)).wait().unwrap();
    refused(system.start().wait(), Cause::AccessDenied);
    system.terminate().wait().unwrap();
    host("chmod", &["666", file.to_str().unwrap()]);
    let run = |transient: bool, act: &mut dyn FnMut(&mut hcs_tests::machine::Console)| {
        let system = service.running_from("vm", &with(transient));
        let mut console = guest.console();
        console.until("ready");
        if !transient {
            let other = service.client().create("other", &with(false)).wait().unwrap();
            let error = refused(other.start().wait(), Cause::InUse);
            assert!(error.message.contains("GuestStateFilePath"), "{error}");
            other.terminate().wait().unwrap();
        }
        act(&mut console);
        system.terminate().wait().unwrap();
        service.await_nothing_left();
    };
    run(false, &mut |console| {
        console.run(&set("HcsTest", "first"));
    });
    let remembered = found_in_guest_state(&file, "HcsTest");
    assert_eq!(remembered["files"]["1"][1], true, "{remembered}");
    assert!(remembered["files"]["3"][0].as_u64().unwrap() > 1000, "{remembered}");
    // What is only looked at stays as it is.
    let before = fs::read(&file).unwrap();
    run(true, &mut |console| {
        assert!(console.run(&format!("tail -c 5 {}", variable("HcsTest"))).contains("first"));
        console.run(&set("HcsOther", "other"));
    });
    assert!(fs::read(&file).unwrap() == before);
    for (name, is_there) in [("HcsTest", true), ("HcsOther", false)] {
        assert_eq!(found_in_guest_state(&file, name)["files"]["1"][1], is_there, "{name}");
    }
}

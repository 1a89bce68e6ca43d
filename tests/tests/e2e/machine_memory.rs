//! Files of the host that the guest of a virtual machine finds as memory.

use std::{fs, os::unix::fs::FileExt, path::PathBuf, time::Duration};

use hcs::{
    Cause, System,
    schema::{
        Any, ComputeSystem, ModifyRequestType, ModifySettingRequest, SharedMemoryConfiguration,
        SharedMemoryRegion, SystemPropertyQuery, SystemPropertyType, VirtualPMemController,
        VirtualPMemDevice, VirtualPMemImageFormat, VirtualPMemMapping,
    },
};
use hcs_tests::{
    Service, host,
    machine::{Guest, SHELL, with_memory},
    until,
};

use crate::refused;

fn request(
    path: &str,
    kind: ModifyRequestType,
    settings: &impl hcs::schema::Document,
) -> ModifySettingRequest {
    ModifySettingRequest::default()
        .resource_path(format!("VirtualMachine/Devices/{path}"))
        .request_type(kind)
        .settings(Any::from_value(settings).unwrap())
}

/// A file of zeros that begins with a text.
fn file(path: PathBuf, text: &str, mib: u64) -> String {
    let made = fs::File::create(&path).unwrap();
    made.set_len(mib << 20).unwrap();
    made.write_all_at(text.as_bytes(), 0).unwrap();
    host("chmod", &["666", path.to_str().unwrap()]);
    path.display().to_string()
}

/// A machine with persistent memory, and with enough of its own to know it.
fn with(guest: &Guest, controller: VirtualPMemController) -> ComputeSystem {
    guest.document_with(|machine| {
        let devices = machine.devices.clone().unwrap_or_default();
        with_memory(machine, 320).devices(devices.virtual_pmem(controller))
    })
}

#[test]
fn persistent_memory_is_a_disk_of_the_guest_and_keeps_what_is_written() {
    let service = Service::start();
    let guest = Guest::make(service.root(), &format!("load nfit; load nd_pmem; {SHELL}"));
    let root = service.root();
    let (plain, later) =
        (file(root.join("plain"), "plain bytes", 16), file(root.join("later"), "came later", 8));
    let vhd = root.join("fixed.vhd").display().to_string();
    host("qemu-img", &["create", "-q", "-f", "vpc", "-o", "subformat=fixed,force_size=on", &vhd, "32M"]);
    host("chmod", &["644", &vhd]);
    let text = fs::OpenOptions::new().write(true).open(&vhd).unwrap();
    text.write_all_at(b"of a vhd", 0).unwrap();
    let device = |path: &str| VirtualPMemDevice::default().host_path(path);
    let controller = VirtualPMemController::default()
        .devices([
            ("0".to_owned(), device(&plain)),
            ("1".to_owned(), device(&vhd).read_only(true).image_format(VirtualPMemImageFormat::Vhd1)),
        ])
        .maximum_count(4u8);
    let system = service.running_from("vm", &with(&guest, controller));
    let mut console = guest.console();
    console.until("ready");
    // The guest knows a device by its number and one, whatever it calls the disk.
    console.run(
        "disk() { for r in /sys/bus/nd/devices/region*; do m=$(cut -d, -f1 $r/mapping0); \
         test $(($(cat /sys/bus/nd/devices/$m/nfit/handle))) = $(($1 + 1)) && echo /dev/$(ls $r/namespace*/block); done; }",
    );
    // The guest's kernel makes them a moment after it has found them.
    let wait = |number: u32, bytes: u32| {
        format!(
            "for i in 1 2 3 4 5 6 7 8 9; do head -c {bytes} \"$(disk {number} 2>/dev/null)\" 2>/dev/null && break; sleep 1; done"
        )
    };
    console.run(&wait(0, 1));
    console.run(&wait(1, 1));
    let said = console.run("head -c 11 $(disk 0); blockdev --getsize64 $(disk 0)");
    assert!(said.contains("plain bytes16777216"), "{said}");
    let said = console.run("head -c 8 $(disk 1); blockdev --getsize64 $(disk 1); blockdev --getro $(disk 1)");
    assert!(said.contains("of a vhd33554432\n1"), "{said}");
    console.run("echo written | dd of=$(disk 0) bs=4096 seek=1 conv=sync,fsync 2>/dev/null");

    let path = |number: u32| format!("VirtualPMem/Devices/{number}");
    system.modify(&request(&path(2), ModifyRequestType::Add, &device(&later))).wait().unwrap();
    assert!(console.run(&wait(2, 10)).contains("came later"));
    let again = system.modify(&request(&path(2), ModifyRequestType::Add, &device(&later))).wait();
    refused(again, Cause::AlreadyExists);
    let remove = system.modify(&request(&path(2), ModifyRequestType::Remove, &device(&later))).wait();
    refused(remove, Cause::NotSupported);
    let odd = device(&file(root.join("odd"), "", 3));
    for (wrong, word) in [(odd, "2 MiB"), (device(&plain).size_bytes(8u64 << 20), "SizeBytes")] {
        let add = system.modify(&request(&path(3), ModifyRequestType::Add, &wrong)).wait();
        let error = refused(add, Cause::InvalidData);
        assert!(error.message.contains(word), "{error}");
    }
    system.terminate().wait().unwrap();
    service.await_nothing_left();
    assert!(fs::read(&plain).unwrap()[4096..].starts_with(b"written"));
}

#[test]
fn files_come_and_go_in_one_device_of_persistent_memory() {
    let service = Service::start();
    let guest = Guest::make(service.root(), &format!("load nfit; load nd_pmem; {SHELL}"));
    let root = service.root();
    let (first, later) =
        (file(root.join("first"), "the first", 1), file(root.join("later"), "came later", 1));
    let large = file(root.join("large"), "too large", 16);
    let mapping = |path: &str| VirtualPMemMapping::default().host_path(path);
    let device = |file: &str| {
        let mappings = [("4096".to_owned(), mapping(file))];
        VirtualPMemDevice::default().read_only(true).size_bytes(8u64 << 20).mappings(mappings)
    };
    let document =
        |device| with(&guest, VirtualPMemController::default().devices([("0".to_owned(), device)]));
    let refusals = [
        (device(&first).read_only(false), Cause::NotSupported, "ReadOnly"),
        (device(&first).size_bytes(1u64 << 20), Cause::InvalidData, "2 MiB"),
        (device(&first).host_path(&later), Cause::InvalidData, "HostPath and Mappings"),
        (device(&first).mappings([("12".to_owned(), mapping(&first))]), Cause::InvalidData, "4096"),
    ];
    for (wrong, cause, word) in refusals {
        let error = refused(service.client().create("wrong", &document(wrong)).wait(), cause);
        assert!(error.message.contains(word) || error.to_string().contains(word), "{error}");
    }

    let system = service.running_from("vm", &document(device(&first)));
    let mut console = guest.console();
    console.until("ready");
    // The guest's kernel makes it a moment after it has found it.
    console
        .run("for i in 1 2 3 4 5 6 7 8 9; do head -c 1 /dev/pmem0 >/dev/null 2>&1 && break; sleep 1; done");
    // What was read once is still in the guest's own memory: it must look at the device.
    console.run(
        "at() { blockdev --flushbufs /dev/pmem0; dd if=/dev/pmem0 bs=4096 skip=$1 count=1 2>/dev/null | head -c $2; }",
    );
    let said = console.run("at 1 9; blockdev --getsize64 /dev/pmem0; blockdev --getro /dev/pmem0");
    assert!(said.contains("the first8388608\n1"), "{said}");

    let change = |kind, offset: u64, path: &str| {
        let place = format!("VirtualPMem/Devices/0/Mappings/{offset}");
        system.modify(&request(&place, kind, &mapping(path))).wait()
    };
    let (add, remove) = (ModifyRequestType::Add, ModifyRequestType::Remove);
    change(add, 4 << 20, &later).unwrap();
    assert!(console.run("at 1024 10").contains("came later"));
    refused(change(add, 4 << 20, &later), Cause::AlreadyExists);
    // Neither what has no room, nor what would lie on another, leaves a byte.
    for offset in [6 << 20, (4 << 20) + 8192, 0] {
        let error = refused(change(add, offset, &large), Cause::InvalidData);
        assert!(error.message.contains("room"), "{error}");
    }
    refused(change(add, 0, &first), Cause::InvalidData);
    refused(change(remove, 8192, &first), Cause::NotFound);
    // A file that is gone from the host can still be taken out.
    fs::remove_file(&first).unwrap();
    change(remove, 4096, &first).unwrap();
    let said = console.run("at 1 9 | tr '\\0' z; at 1024 10");
    assert!(said.contains("zzzzzzzzzcame later"), "{said}");
    system.terminate().wait().unwrap();
    service.await_nothing_left();
}

/// Where the guest has its shared memory.
fn addresses(system: &System) -> Vec<(String, Option<u64>)> {
    let query = SystemPropertyQuery::default().property_types(vec![SystemPropertyType::SharedMemoryRegion]);
    let regions =
        system.properties(Some(&query)).wait().unwrap().shared_memory_region_info.unwrap_or_default();
    regions.into_iter().map(|region| (region.section_name.unwrap(), region.guest_physical_address)).collect()
}

#[test]
fn memory_is_shared_with_the_host_and_not_shared_any_more() {
    let service = Service::start();
    let guest = Guest::make(service.root(), SHELL);
    let name = format!("hcs-test-{}", std::process::id());
    let (section, other) = (format!("/dev/shm/{name}"), file(service.root().join("other"), "other", 1));
    file(PathBuf::from(&section), "from the host", 4);
    let region = |section: &str| SharedMemoryRegion::default().section_name(section).length(1u64 << 20);
    let document = guest.document_with(|machine| {
        let devices = machine.devices.clone().unwrap_or_default();
        let shared = SharedMemoryConfiguration::default()
            .regions(vec![region(&name).start_offset(0u64).allow_guest_write(true)]);
        machine.devices(devices.shared_memory(shared))
    });
    let system = service.running_from("vm", &document);
    let mut console = guest.console();
    console.until("ready");
    let told = addresses(&system);
    assert_eq!((told.len(), told[0].0.as_str()), (1, name.as_str()));
    // The guest has the same bytes where the host says that it has them.
    let find = "for d in /sys/bus/pci/devices/*; do test $(cat $d/vendor)$(cat $d/device) = 0x1af40x1110 && echo $d; done";
    let place = console.run(find).trim().to_owned();
    let resource = console.run(&format!("head -3 {place}/resource | tail -1"));
    let begin = u64::from_str_radix(resource.split_whitespace().next().unwrap().trim_start_matches("0x"), 16)
        .unwrap();
    assert_eq!(told[0].1, Some(begin));
    console.run(&format!("echo 1 >{place}/enable"));
    let peek = |at: u64| format!("devmem {at:#x} 32");
    assert!(console.run(&peek(begin)).contains("0x6D6F7266"), "the guest reads what the host has written");
    console.run(&format!("devmem {:#x} 32 0x74736575", begin + 16));
    assert_eq!(&fs::read(&section).unwrap()[16..20], b"uest");

    let add = |section: &str| request("SharedMemory/Regions", ModifyRequestType::Add, &region(section));
    system.modify(&add(&other)).wait().unwrap();
    refused(system.modify(&add(&other)).wait(), Cause::AlreadyExists);
    until("the guest gives it a place", Duration::from_secs(10), || {
        addresses(&system).iter().any(|(section, at)| *section == other && at.is_some_and(|at| at > 0))
    });
    let at = addresses(&system).into_iter().find(|(section, _)| *section == other).unwrap().1.unwrap();
    console.run("for d in /sys/bus/pci/devices/*; do test $(cat $d/vendor)$(cat $d/device) = 0x1af40x1110 && echo 1 >$d/enable; done; true");
    assert!(console.run(&peek(at)).contains("0x6568746F"));
    let remove = request("SharedMemory/Regions", ModifyRequestType::Remove, &region(&other));
    system.modify(&remove).wait().unwrap();
    refused(system.modify(&remove).wait(), Cause::NotFound);
    assert_eq!(addresses(&system).len(), 1);
    let long = request("SharedMemory/Regions", ModifyRequestType::Add, &region(&other).length(3u64 << 20));
    refused(system.modify(&long).wait(), Cause::InvalidData);
    system.terminate().wait().unwrap();
    service.await_nothing_left();
    fs::remove_file(&section).unwrap();
}

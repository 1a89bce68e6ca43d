//! The command line of QEMU for a plan. Files and sockets are numbers of descriptors there.

use std::os::fd::RawFd;

use serde_json::json;

use crate::{
    devices::{self, Layout, MORE_SLOTS, Mapping, SLOTS},
    plan::{Boot, Plan, boot::First},
};

/// What stands for the files of a plan, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The kernel.
    pub kernel: Option<RawFd>,
    /// What it begins with.
    pub initrd: Option<RawFd>,
    /// Firmware and its variables.
    pub firmware: Option<[RawFd; 2]>,
    /// The host's processors.
    pub kvm: Option<RawFd>,
    /// Each disk of each controller.
    pub disks: Vec<Vec<Medium>>,
    /// What is behind each adapter.
    pub adapters: Vec<Option<RawFd>>,
    /// Each serial port's listening socket.
    pub serial_ports: [Option<RawFd>; 2],
    /// Each virtio port's listening socket.
    pub virtio_ports: Vec<RawFd>,
    /// The memory that the machine boots with, and what it may get.
    pub memory: [Option<RawFd>; 2],
    /// What the machine boots with is that of a template: what it writes is its own.
    pub memory_is_private: bool,
    /// What is behind each device of persistent memory.
    pub persistent: Vec<Mapping>,
    /// What is behind each region of shared memory.
    pub shared: Vec<Mapping>,
    /// Where the trusted platform module is spoken to.
    pub tpm: Option<RawFd>,
    /// Where folders of the host are served.
    pub folders: Option<RawFd>,
    /// Where sockets of the guest are carried.
    pub sockets: Option<RawFd>,
    /// Where the agent in the guest is spoken to.
    pub guest: Option<RawFd>,
    /// Where the consoles of the guest are heard too.
    pub log: RawFd,
}

/// An open image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Medium {
    /// Its file.
    pub file: RawFd,
    /// How its bytes are a disk.
    pub layout: Layout,
}

/// The machine type. It has a version: a guest finds the same hardware under every release of QEMU that knows it.
const MACHINE: &str = "pc-q35-9.0";

/// The descriptor at which QEMU is spoken to: its standard input.
const MONITOR: RawFd = 0;

/// What the agent in the guest finds its port by.
pub const GUEST_PORT: &str = "io.hcs.guest";

/// Everything after the program's name.
pub fn arguments(plan: &Plan, numbers: &Numbers) -> Vec<String> {
    let mut line = Words(Vec::new());
    line.flags(&["-nodefaults", "-no-user-config", "-S"]);
    line.pair("-display", "none");
    line.pair("-name", format!("guest={},process=hcs-vm", escaped(&plan.name)));
    line.pair("-uuid", &plan.runtime_id);
    machine(&mut line, plan, numbers);
    memory(&mut line, plan, numbers);
    line.pair("-rtc", if plan.utc { "base=utc" } else { "base=localtime" });
    // It ends with its guest, and says why before. A guest that has crashed waits until somebody has looked.
    let reset = if plan.stop_on_reset { "shutdown" } else { "reset" };
    line.pair("-action", format!("reboot={reset},shutdown=poweroff,panic=pause"));
    if plan.stop_on_reset && !plan.host.kvm {
        // That it was a triple fault is said there and nowhere else.
        line.pair("-d", "cpu_reset");
    }
    line.pair("-chardev", format!("socket,id=monitor,fd={MONITOR}"));
    line.pair("-mon", "chardev=monitor,mode=control");
    line.pair("-device", "pvpanic-pci");
    // Another one at every start: a guest that finds a new one knows that it is not the only one of its kind.
    line.pair("-device", "vmgenid,guid=auto");
    if plan.restore.is_some() {
        line.pair("-incoming", "defer");
    }
    serials(&mut line, plan);
    boot(&mut line, plan, numbers);
    let slots = if plan.has_places_for_hosted { SLOTS + MORE_SLOTS } else { SLOTS };
    for slot in 0..slots {
        let (id, place) = (devices::slot_id(slot), 0x10 + slot / 8);
        line.pair(
            "-device",
            // What is plugged in there needs no ports of the processor, of which there are few.
            format!("pcie-root-port,id={id},chassis={slot},slot={slot},addr={place:#x}.{},multifunction=on,io-reserve=0", slot % 8),
        );
    }
    disks(&mut line, plan, numbers);
    for (adapter, descriptor) in plan.adapters.iter().zip(&numbers.adapters) {
        if let Some(peer) = devices::peer(adapter, &descriptor.unwrap_or_default().to_string()) {
            line.pair("-netdev", peer.to_string());
        }
        let is_first = matches!(&plan.boot, Boot::Uefi { first: Some(First::Network { slot }), .. } if *slot == adapter.slot);
        line.pair("-device", devices::adapter(adapter, is_first).to_string());
    }
    mapped(&mut line, plan, numbers);
    ports(&mut line, plan, numbers);
    guest(&mut line, numbers);
    screen(&mut line, plan);
    if let Some(socket) = numbers.tpm {
        line.pair("-chardev", format!("socket,id=tpm,fd={socket}"));
        line.pair("-tpmdev", "emulator,id=tpm,chardev=tpm");
        line.pair("-device", "tpm-tis,tpmdev=tpm");
    }
    // Nothing is opened or started that is not there by now.
    line.pair("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    line.0
}

fn machine(line: &mut Words, plan: &Plan, numbers: &Numbers) {
    let is_secure = matches!(plan.boot, Boot::Uefi { secure: true, .. });
    let flash = if numbers.firmware.is_some() { ",pflash0=firmware,pflash1=variables" } else { "" };
    let persistent = if plan.persistent.is_some() { ",nvdimm=on" } else { "" };
    let management = if is_secure { "on" } else { "off" };
    line.pair(
        "-machine",
        format!(
            "{MACHINE},memory-backend=ram,smbus=off,sata=off,usb=off,hpet=off,vmport=off,smm={management}{flash}{persistent}"
        ),
    );
    if is_secure {
        // The variables are the firmware's alone.
        line.pair("-global", "driver=cfi.pflash01,property=secure,value=on");
    }
    line.pair("-global", "ICH9-LPC.disable_s3=1");
    line.pair("-global", format!("ICH9-LPC.disable_s4={}", u32::from(!plan.hibernation)));
    match numbers.kvm {
        Some(device) => {
            line.file(device);
            line.pair("-accel", format!("kvm,device=/dev/fdset/{device}"));
        }
        None => line.pair("-accel", "tcg,thread=multi"),
    }
    let nested = if plan.processors.nested { "" } else { ",vmx=off,svm=off" };
    let model = if plan.host.kvm { "host" } else { "max" };
    line.pair("-cpu", format!("{model}{nested}"));
    line.pair("-smp", plan.processors.count.to_string());
}

/// What the machine boots with, and what it may get.
fn memory(line: &mut Words, plan: &Plan, numbers: &Numbers) {
    let boot = plan.memory.boot_mib;
    // Shared, so that devices in other processes can have it, and we can save it.
    let backend = |id: &str, mib: u64, file: Option<RawFd>, access: &str| {
        let path = by_number(file.unwrap_or(-1));
        format!("memory-backend-file,id={id},mem-path={path},size={mib}M,{access}")
    };
    let [memory, more_memory] = numbers.memory;
    let own = if numbers.memory_is_private { "share=off,readonly=on,rom=off" } else { "share=on" };
    let growth = plan.growth_mib();
    let (places, room) = room(plan, numbers);
    let more = growth + room;
    let most = if more > 0 { format!(",maxmem={}M", boot + more) } else { String::new() };
    let places = if places > 0 { format!(",slots={places}") } else { String::new() };
    line.pair("-m", format!("size={boot}M{places}{most}"));
    line.pair("-object", backend("ram", boot, memory, own));
    if growth > 0 {
        line.pair("-object", backend("growth", growth, more_memory, "share=on,reserve=off"));
        let more = plan.memory.mib.saturating_sub(boot);
        line.pair(
            "-device",
            format!("virtio-mem-pci,id=growth,memdev=growth,block-size=2M,requested-size={more}M"),
        );
    }
    let hints = if plan.memory.gives_back { ",free-page-reporting=on" } else { "" };
    line.pair("-device", format!("virtio-balloon-pci,id=balloon{hints}"));
}

/// How many devices of persistent memory there may be, and how many MiB of addresses they need.
fn room(plan: &Plan, numbers: &Numbers) -> (u32, u64) {
    /// Each begins at a whole one of these.
    const STEP: u64 = 1 << 30;
    let Some(memory) = &plan.persistent else { return (0, 0) };
    let largest = numbers.persistent.iter().map(|mapping| mapping.length).chain([memory.most_bytes]).max();
    let each = largest.unwrap_or(0).next_multiple_of(STEP) >> 20;
    (memory.most, each * u64::from(memory.most))
}

fn mapped(line: &mut Words, plan: &Plan, numbers: &Numbers) {
    let devices = plan.persistent.iter().flat_map(|memory| &memory.devices);
    for (device, mapping) in devices.zip(&numbers.persistent) {
        let id = devices::persistent_id(device.number);
        line.pair("-object", devices::memory(&devices::behind(&id), *mapping).to_string());
        line.pair("-device", devices::persistent(device.number, device.read_only).to_string());
    }
    for (region, mapping) in plan.shared.iter().zip(&numbers.shared) {
        let id = devices::shared_id(region.slot);
        line.pair("-object", devices::memory(&devices::behind(&id), *mapping).to_string());
        line.pair("-device", devices::shared(region.slot).to_string());
    }
}

fn serials(line: &mut Words, plan: &Plan) {
    let [board, chassis, tag] = &plan.serials;
    if let Some(serial) = board {
        line.pair("-smbios", format!("type=2,serial={serial}"));
    }
    let chassis = [("serial", chassis), ("asset", tag)];
    let said: Vec<String> =
        chassis.iter().filter_map(|(key, text)| Some(format!("{key}={}", text.as_ref()?))).collect();
    if !said.is_empty() {
        line.pair("-smbios", format!("type=3,{}", said.join(",")));
    }
}

fn boot(line: &mut Words, plan: &Plan, numbers: &Numbers) {
    if let Some([firmware, variables]) = numbers.firmware {
        for (name, file, read_only) in [("firmware", firmware, true), ("variables", variables, false)] {
            line.file(file);
            let node = json!({
                "node-name": name, "driver": "raw", "read-only": read_only,
                "file": {"driver": "file", "filename": format!("/dev/fdset/{file}"), "locking": "off"},
            });
            line.pair("-blockdev", node.to_string());
        }
    }
    if let (Some(kernel), Some(file)) = (plan.boot.kernel(), numbers.kernel) {
        line.pair("-kernel", by_number(file));
        if let Some(initrd) = numbers.initrd {
            line.pair("-initrd", by_number(initrd));
        }
        line.pair("-append", &kernel.command_line);
    }
}

fn disks(line: &mut Words, plan: &Plan, numbers: &Numbers) {
    for (index, (controller, media)) in plan.controllers.iter().zip(&numbers.disks).enumerate() {
        line.pair("-device", format!("virtio-scsi-pci,id=scsi{index}"));
        for (disk, medium) in controller.disks.iter().zip(media) {
            let id = devices::disk_id(index, disk.lun);
            line.file(medium.file);
            line.pair(
                "-blockdev",
                devices::node(&id, disk, medium.layout, i64::from(medium.file)).to_string(),
            );
            let is_first = matches!(&plan.boot, Boot::Uefi { first: Some(First::Disk { controller, lun }), .. }
                if (*controller, *lun) == (index, disk.lun));
            line.pair("-device", devices::disk(&id, index, disk, is_first).to_string());
        }
    }
}

fn ports(line: &mut Words, plan: &Plan, numbers: &Numbers) {
    let log = numbers.log;
    line.file(log);
    let heard = format!(",logfile=/dev/fdset/{log},logappend=on");
    for (number, socket) in numbers.serial_ports.iter().enumerate() {
        let behind = socket.map_or_else(
            || format!("null,id=com{number}"),
            |socket| listening(&format!("com{number}"), socket),
        );
        line.pair("-chardev", behind + &heard);
        line.pair("-device", format!("isa-serial,id=com{number},index={number},chardev=com{number}"));
    }
    line.pair("-device", "virtio-serial-pci,id=ports");
    for (port, socket) in plan.virtio_ports.iter().zip(&numbers.virtio_ports) {
        let id = devices::port_id(port.number);
        let heard = if port.console { heard.as_str() } else { "" };
        line.pair("-chardev", listening(&id, *socket) + heard);
        let name = port.name.as_ref().map(|name| format!(",name={name}")).unwrap_or_default();
        let driver = if port.console { "virtconsole" } else { "virtserialport" };
        // The first place of the controller is kept for a console.
        let place = if port.console && port.number == 0 { 0 } else { port.number + 1 };
        line.pair("-device", format!("{driver},id={id},bus=ports.0,nr={place},chardev={id}{name}"));
    }
}

/// Folders of the host, sockets to its programs, and the agent. Its port has a controller of its own, so that nobody who is slow at another port holds it up.
fn guest(line: &mut Words, numbers: &Numbers) {
    for (socket, device) in [(numbers.folders, devices::shares()), (numbers.sockets, devices::sockets())] {
        let (Some(socket), Some(behind)) = (socket, device["chardev"].as_str()) else { continue };
        line.pair("-chardev", format!("socket,id={behind},fd={socket}"));
        line.pair("-device", device.to_string());
    }
    let Some(socket) = numbers.guest else { return };
    line.pair("-chardev", format!("socket,id=guest,fd={socket}"));
    line.pair("-device", "virtio-serial-pci,id=agent,max_ports=2");
    line.pair("-device", format!("virtserialport,id=guest,bus=agent.0,nr=1,chardev=guest,name={GUEST_PORT}"));
}

fn screen(line: &mut Words, plan: &Plan) {
    let Some(display) = &plan.display else { return };
    let size = |name: &str, size: Option<u16>| size.map(|size| format!(",{name}={size}")).unwrap_or_default();
    let (width, height) = (size("xres", display.width), size("yres", display.height));
    line.pair("-device", format!("VGA,id=screen,vgamem_mb=32{width}{height}"));
    // It listens nowhere: who wants to look is let in one by one.
    line.pair("-vnc", "none");
    if display.keyboard {
        line.pair("-device", "virtio-keyboard-pci");
    }
    if display.mouse {
        // Where it points is where the viewer points.
        line.pair("-device", "virtio-tablet-pci");
    }
}

/// One who connects at a time; nobody is waited for.
fn listening(id: &str, socket: RawFd) -> String {
    format!("socket,id={id},fd={socket},server=on,wait=off")
}

fn by_number(file: RawFd) -> String {
    format!("/proc/self/fd/{file}")
}

/// A comma within a value is written twice.
fn escaped(text: &str) -> String {
    text.replace(',', ",,")
}

/// Arguments, one after the other.
struct Words(Vec<String>);

impl Words {
    fn flags(&mut self, flags: &[&str]) {
        self.0.extend(flags.iter().map(|flag| (*flag).to_owned()));
    }

    fn pair(&mut self, option: &str, value: impl Into<String>) {
        self.0.push(option.to_owned());
        self.0.push(value.into());
    }

    /// A file that QEMU opens as `/dev/fdset/` and its number.
    fn file(&mut self, number: RawFd) {
        self.pair("-add-fd", format!("fd={number},set={number}"));
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;

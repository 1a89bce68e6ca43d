//! Devices and what is behind them, as QEMU wants them described: the same whether they are there from the start or come
//! later. Whatever is open has a name here by which QEMU finds it.

use hcs_disks::image::{Format, Image};
use serde_json::{Value, json};

use crate::plan::{Adapter, Disk, Link, disks::Medium};

/// How many places there are for devices that come and go. Network adapters have the first.
pub const SLOTS: u32 = 16;

/// How many more there are in a machine whose document says that applications are devices of it.
pub const MORE_SLOTS: u32 = 8;

/// How the bytes of a file are a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Those of the file up to here.
    Plain(u64),
    /// As a format has it.
    Driver(&'static str),
    /// They are those of a disk.
    Device,
}

impl Layout {
    /// That of an image.
    pub fn of(image: Image) -> Layout {
        match (image.plain, image.format) {
            (Some(length), _) => Layout::Plain(length),
            (None, Format::DynamicVhd) => Layout::Driver("vpc"),
            (None, _) => Layout::Driver("vhdx"),
        }
    }
}

/// What a disk is called.
pub fn disk_id(controller: usize, lun: u32) -> String {
    format!("disk{controller}-{lun}")
}

/// An image, open in this set of descriptors.
pub fn node(id: &str, disk: &Disk, layout: Layout, set: i64) -> Value {
    let file = json!({
        "driver": if layout == Layout::Device { "host_device" } else { "file" },
        "filename": format!("/dev/fdset/{set}"),
        "read-only": disk.read_only,
        "discard": "unmap",
    });
    let mut node = match layout {
        Layout::Plain(size) => json!({"driver": "raw", "offset": 0, "size": size, "file": file}),
        Layout::Driver(driver) => json!({"driver": driver, "file": file}),
        Layout::Device => json!({"driver": "raw", "file": file}),
    };
    node["node-name"] = json!(id);
    node["read-only"] = json!(disk.read_only);
    node["discard"] = json!("unmap");
    node
}

/// A disk at its controller.
pub fn disk(id: &str, controller: usize, disk: &Disk, boot: bool) -> Value {
    let mut device = json!({
        "driver": if disk.medium == Medium::Optical { "scsi-cd" } else { "scsi-hd" },
        "id": id,
        "drive": id,
        "bus": format!("scsi{controller}.0"),
        "channel": 0,
        "scsi-id": 0,
        "lun": disk.lun,
    });
    if boot {
        device["bootindex"] = json!(0);
    }
    device
}

/// What an adapter is called.
pub fn adapter_id(slot: u32) -> String {
    format!("nic{slot}")
}

/// What is behind an adapter is called.
pub fn peer_id(slot: u32) -> String {
    format!("net{slot}")
}

/// What is behind an adapter: a descriptor of this name.
pub fn peer(adapter: &Adapter, descriptor: &str) -> Option<Value> {
    let id = peer_id(adapter.slot);
    match adapter.link {
        Link::None => None,
        Link::Bridge { .. } | Link::Tap { .. } => Some(json!({"type": "tap", "id": id, "fd": descriptor})),
        // The newer `stream` connects in a thread that knows no descriptors by name.
        Link::User => Some(json!({"type": "socket", "id": id, "fd": descriptor})),
    }
}

/// An adapter at its place.
pub fn adapter(adapter: &Adapter, boot: bool) -> Value {
    let mut device = json!({
        "driver": "virtio-net-pci",
        "id": adapter_id(adapter.slot),
        "bus": slot_id(adapter.slot),
        "mac": adapter.mac,
        // What it would boot with is in the firmware.
        "romfile": "",
    });
    if adapter.link != Link::None {
        device["netdev"] = json!(peer_id(adapter.slot));
    }
    if boot {
        device["bootindex"] = json!(0);
    }
    device
}

/// A place for a device.
pub fn slot_id(slot: u32) -> String {
    format!("slot{slot}")
}

/// What is behind a port that changes. A socket is called by the name of its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind<'a> {
    /// Nothing.
    Nothing,
    /// A socket at which one connects at a time and nobody is waited for.
    Listening(&'a str),
    /// A socket at whose other end is somebody already.
    Connected(&'a str),
}

/// A port that changes. What the guest says is heard at another place too.
pub fn behind_port(behind: Behind<'_>, log: i64) -> Value {
    let mut data = json!({"logfile": format!("/dev/fdset/{log}"), "logappend": true});
    let descriptor = match behind {
        Behind::Nothing => return json!({"type": "null", "data": data}),
        Behind::Listening(descriptor) => {
            data["wait"] = json!(false);
            descriptor
        }
        Behind::Connected(descriptor) => descriptor,
    };
    data["addr"] = json!({"type": "fd", "data": {"str": descriptor}});
    data["server"] = json!(matches!(behind, Behind::Listening(_)));
    json!({"type": "socket", "data": data})
}

/// What a socket of somebody else is called, and its port.
pub fn pipe_id(number: u32) -> String {
    format!("pipe{number}")
}

/// A port of the virtio controller at a socket of somebody else, which is open.
pub fn pipe(id: &str, name: &str) -> Value {
    json!({"driver": "virtserialport", "id": id, "bus": "ports.0", "chardev": id, "name": name})
}

/// A socket of this name, at whose other end is somebody else.
pub fn behind_pipe(descriptor: &str) -> Value {
    json!({"type": "socket", "data": {"addr": {"type": "fd", "data": {"str": descriptor}}, "server": false}})
}

/// The name of a port of the virtio controller on QEMU's side.
pub fn port_id(number: u32) -> String {
    format!("port{number}")
}

/// A part of a file, as memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The number under which QEMU has the file open.
    pub file: i64,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// Nobody writes there.
    pub read_only: bool,
}

/// What is behind a device that is memory.
pub fn memory(id: &str, mapping: Mapping) -> Value {
    json!({
        "qom-type": "memory-backend-file",
        "id": id,
        "mem-path": format!("/proc/self/fd/{}", mapping.file),
        "offset": mapping.offset,
        "size": mapping.length,
        "share": true,
        "readonly": mapping.read_only,
    })
}

/// What a device of persistent memory is called.
pub fn persistent_id(number: u32) -> String {
    format!("pmem{number}")
}

/// A device of persistent memory. In which order a guest finds them is not said; the handle by which it knows one in the
/// tables of the firmware is the number and one.
pub fn persistent(number: u32, read_only: bool) -> Value {
    let id = persistent_id(number);
    json!({"driver": "nvdimm", "id": id, "memdev": behind(&id), "slot": number, "unarmed": read_only})
}

/// What shared memory is called.
pub fn shared_id(slot: u32) -> String {
    format!("shared{slot}")
}

/// Shared memory, at its place.
pub fn shared(slot: u32) -> Value {
    let id = shared_id(slot);
    json!({"driver": "ivshmem-plain", "id": id, "bus": slot_id(slot), "memdev": behind(&id)})
}

/// The device of shared folders, and what is behind it.
pub const SHARES: &str = "shares";
/// Its place, behind those of adapters and of shared memory.
const SHARES_SLOT: u32 = 12;

/// Folders of the host.
pub fn shares() -> Value {
    let (driver, bus) = ("vhost-user-fs-pci", slot_id(SHARES_SLOT));
    json!({"driver": driver, "id": SHARES, "bus": bus, "chardev": SHARES, "tag": crate::shares::TAG})
}

/// Sockets to programs of the host, at the place behind.
pub fn sockets() -> Value {
    let (driver, bus) = ("vhost-user-vsock-pci", slot_id(SHARES_SLOT + 1));
    json!({"driver": driver, "id": "sockets", "bus": bus, "chardev": "sockets"})
}

/// What a device of an application is called.
pub fn hosted_id(slot: u32) -> String {
    format!("hdv{slot}")
}

/// A device of an application that listens at this socket, at its place.
pub fn hosted(slot: u32, socket: &str) -> Value {
    json!({
        "driver": "vfio-user-pci",
        "id": hosted_id(slot),
        "bus": slot_id(slot),
        // It has no ROM, and is not to be asked for one.
        "rombar": 0,
        "socket": {"type": "unix", "path": socket},
    })
}

/// What is behind a device of this name.
pub fn behind(id: &str) -> String {
    format!("memory-{id}")
}

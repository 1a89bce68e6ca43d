//! What will be done for a virtual machine, as plain data. hcsd makes it from the document, the worker carries it out.

use std::collections::BTreeMap;

use hcs_container::{
    plan::Limits,
    policy::{self, Notice},
};
use hcs_core::{Cause, Error, RuntimeId};
use hcs_schema::{AttachmentType, ComputeSystem, Devices, Reading, VirtualMachine};
use serde::{Deserialize, Serialize};

use crate::policy::MACHINE;

/// A virtual machine to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The system's id, for people.
    pub name: String,
    /// Its GUID, which is also that of the machine and of its cgroup.
    pub runtime_id: String,
    /// The folder under the cgroup roots that holds the service's systems.
    pub cgroup_parent: String,
    /// What everybody but QEMU itself knows of the host.
    pub host: Host,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Virtual processors.
    pub processors: u32,
    /// Limits of the cgroup.
    pub limits: Limits,
    /// What is booted.
    pub boot: Boot,
    /// Whether the clock of the machine shows UTC.
    pub utc: bool,
    /// A guest that resets ends.
    pub stop_on_reset: bool,
    /// What the firmware tells of the machine: board serial, chassis serial, asset tag.
    pub serials: [Option<String>; 3],
    /// Controllers, and on each the disks by their numbers.
    pub controllers: Vec<Vec<Disk>>,
    /// Serial ports by their numbers.
    pub serial_ports: Vec<SerialPort>,
    /// Ports of the virtio serial controller.
    pub virtio_ports: Vec<VirtioPort>,
}

/// What the service knows of its host, and the document does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// QEMU.
    pub qemu: String,
    /// Whether virtual processors are the host's own.
    pub kvm: bool,
    /// The user and group of this machine, who is nobody else's.
    pub user: u32,
    /// The group that all machines are in.
    pub group: u32,
}

/// What a machine boots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Boot {
    /// A kernel of Linux, without firmware.
    Kernel {
        /// Its file.
        kernel: String,
        /// What it begins with.
        initrd: Option<String>,
        /// Its command line.
        command_line: String,
    },
}

/// A disk on a controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its number.
    pub lun: u32,
    /// The image.
    pub path: String,
    /// Whether it is a CD.
    pub optical: bool,
    /// The guest cannot write.
    pub read_only: bool,
    /// The member that names it.
    pub blame: String,
}

/// A serial port, at a socket of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialPort {
    /// Which: COM1 is 0.
    pub number: u32,
    /// Where the socket is made.
    pub socket: String,
    /// The member that names it.
    pub blame: String,
}

/// A port of the virtio serial controller, at a socket of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtioPort {
    /// Which.
    pub number: u32,
    /// What the guest sees it called.
    pub name: Option<String>,
    /// Where the socket is made.
    pub socket: String,
    /// The member that names it.
    pub blame: String,
}

/// As many as QEMU's machine has without more tables.
const MOST_PROCESSORS: u32 = 255;
/// The kernel, and a little for its user.
const LEAST_MEMORY: u64 = 32;
const MOST_MEMORY: u64 = 1 << 20;
const MOST_CONTROLLERS: usize = 4;
const MOST_LUN: u32 = 63;

impl Plan {
    /// Plans a machine.
    pub fn new(
        reading: &Reading<ComputeSystem>,
        id: &str,
        runtime_id: RuntimeId,
        cgroup_parent: &str,
    ) -> Result<(Plan, Vec<Notice>), Error> {
        let notices = policy::apply(MACHINE, &reading.present)?;
        let Some(machine) = &reading.value.virtual_machine else {
            return Err(Error::new(Cause::InvalidData, "there is no VirtualMachine").at("$"));
        };
        let devices = machine.devices.clone().unwrap_or_default();
        let (memory_mib, processors, limits) = topology(machine)?;
        let chipset = machine.chipset.clone().unwrap_or_default();
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let plan = Plan {
            name: id.to_owned(),
            runtime_id: runtime_id.to_string(),
            cgroup_parent: cgroup_parent.to_owned(),
            host: Host::default(),
            memory_mib,
            processors,
            limits,
            boot: boot(machine)?,
            utc: chipset.use_utc.unwrap_or(false),
            stop_on_reset: machine.stop_on_reset.unwrap_or(false),
            serials: [
                given(chipset.base_board_serial_number),
                given(chipset.chassis_serial_number),
                given(chipset.chassis_asset_tag),
            ],
            controllers: controllers(&devices)?,
            serial_ports: serial_ports(&devices)?,
            virtio_ports: virtio_ports(&devices)?,
        };
        for text in plan.serials.iter().flatten() {
            if text.contains([',', '\0']) {
                let detail = format!("found {text:?}, expected a text without a comma");
                return Err(Error::new(Cause::InvalidData, detail).at("$.VirtualMachine.Chipset"));
            }
        }
        Ok((plan, notices))
    }

    /// The sockets of the host that the machine has.
    pub fn sockets(&self) -> impl Iterator<Item = &str> {
        let serial = self.serial_ports.iter().map(|port| port.socket.as_str());
        serial.chain(self.virtio_ports.iter().map(|port| port.socket.as_str()))
    }
}

fn topology(machine: &VirtualMachine) -> Result<(u64, u32, Limits), Error> {
    const AT: &str = "$.VirtualMachine.ComputeTopology";
    let topology = machine.compute_topology.clone().unwrap_or_default();
    let Some(memory) = topology.memory.and_then(|memory| memory.size_in_mb) else {
        let missing = Error::new(Cause::InvalidData, "the machine has no size of memory");
        return Err(missing.at(format!("{AT}.Memory.SizeInMB")).hint("Say how much it has, in MiB."));
    };
    if !(LEAST_MEMORY..=MOST_MEMORY).contains(&memory) || memory % 2 != 0 {
        let detail = format!("found {memory}, expected an even number from {LEAST_MEMORY} to {MOST_MEMORY}");
        return Err(Error::new(Cause::InvalidData, detail).at(format!("{AT}.Memory.SizeInMB")));
    }
    let processor = topology.processor.unwrap_or_default();
    let count = processor.count.unwrap_or(1);
    let wrong = |member: &str, found: u64, expected: &str| {
        let detail = format!("found {found}, expected {expected}");
        Error::new(Cause::InvalidData, detail).at(format!("{AT}.Processor.{member}"))
    };
    if !(1..=MOST_PROCESSORS).contains(&count) {
        return Err(wrong("Count", u64::from(count), &format!("a number from 1 to {MOST_PROCESSORS}")));
    }
    let mut limits = Limits::default();
    /// Of one processor, in thousandths of a percent.
    const WHOLE: u64 = 100_000;
    const PERIOD: u64 = 100_000;
    match processor.limit {
        None | Some(0 | WHOLE) => {}
        Some(limit @ 1..WHOLE) => {
            limits.cpu_quota = Some([(limit * u64::from(count) * PERIOD / WHOLE).max(1000), PERIOD]);
        }
        Some(limit) => return Err(wrong("Limit", limit, "a number from 0 to 100000")),
    }
    match processor.weight {
        None | Some(0) => {}
        Some(weight @ 1..=10_000) => limits.cpu_weight = Some(weight as u32),
        Some(weight) => return Err(wrong("Weight", weight, "a number from 1 to 10000")),
    }
    Ok((memory, count, limits))
}

fn boot(machine: &VirtualMachine) -> Result<Boot, Error> {
    const AT: &str = "$.VirtualMachine.Chipset";
    let direct = machine.chipset.as_ref().and_then(|chipset| chipset.linux_kernel_direct.clone());
    let Some(direct) = direct else {
        return Err(Error::new(Cause::NotSupported, "the machine has nothing to boot")
            .at(AT)
            .hint("This version boots kernels of Linux: name one in LinuxKernelDirect."));
    };
    let at = format!("{AT}.LinuxKernelDirect");
    let kernel = direct.kernel_file_path.unwrap_or_default();
    let initrd = direct.init_rd_path.filter(|path| !path.is_empty());
    absolute(&kernel, &format!("{at}.KernelFilePath"))?;
    if let Some(initrd) = &initrd {
        absolute(initrd, &format!("{at}.InitRdPath"))?;
    }
    Ok(Boot::Kernel { kernel, initrd, command_line: direct.kernel_cmd_line.unwrap_or_default() })
}

fn absolute(path: &str, at: &str) -> Result<(), Error> {
    if path.starts_with('/') && !path.contains('\0') {
        return Ok(());
    }
    Err(Error::new(Cause::InvalidData, format!("found {path:?}, expected an absolute path")).at(at))
}

fn controllers(devices: &Devices) -> Result<Vec<Vec<Disk>>, Error> {
    let mut controllers = Vec::new();
    let given = devices.scsi.clone().unwrap_or_default();
    if given.len() > MOST_CONTROLLERS {
        let detail = format!("found {} controllers, expected at most {MOST_CONTROLLERS}", given.len());
        return Err(Error::new(Cause::InvalidData, detail).at("$.VirtualMachine.Devices.Scsi"));
    }
    for (name, controller) in given {
        let at = format!("$.VirtualMachine.Devices.Scsi[{name:?}].Attachments");
        let mut disks = BTreeMap::new();
        for (key, attachment) in controller.attachments.unwrap_or_default() {
            let at = format!("{at}[{key:?}]");
            // Texts that are numbers were made sure of when the document was read.
            let lun = key.parse::<u32>().ok().filter(|lun| *lun <= MOST_LUN).ok_or_else(|| {
                Error::new(Cause::InvalidData, format!("found {key:?}, expected a number up to {MOST_LUN}"))
                    .at(&at)
            })?;
            let optical = match attachment.type_ {
                Some(AttachmentType::VirtualDisk) => false,
                Some(AttachmentType::Iso) => true,
                other => {
                    let found = other.map_or("none", |kind| kind.as_str());
                    let detail = format!("found the type {found}, expected VirtualDisk or Iso");
                    return Err(Error::new(Cause::NotSupported, detail).at(format!("{at}.Type")));
                }
            };
            let path = attachment.path.unwrap_or_default();
            absolute(&path, &format!("{at}.Path"))?;
            let read_only = optical || attachment.read_only.unwrap_or(false);
            disks.insert(lun, Disk { lun, path, optical, read_only, blame: format!("{at}.Path") });
        }
        controllers.push(disks.into_values().collect());
    }
    Ok(controllers)
}

fn socket(pipe: Option<String>, at: &str) -> Result<Option<String>, Error> {
    /// As long as the name of a socket may be.
    const LONGEST: usize = 107;
    let Some(path) = pipe.filter(|pipe| !pipe.is_empty()) else { return Ok(None) };
    absolute(&path, at)
        .map_err(|error| error.hint("On Linux it is the path of a Unix socket, which is made."))?;
    if path.len() > LONGEST {
        let detail = format!("found a path of {} bytes, expected at most {LONGEST}", path.len());
        return Err(Error::new(Cause::InvalidData, detail).at(at));
    }
    Ok(Some(path))
}

fn serial_ports(devices: &Devices) -> Result<Vec<SerialPort>, Error> {
    let mut ports = Vec::new();
    for (key, port) in devices.com_ports.clone().unwrap_or_default() {
        let at = format!("$.VirtualMachine.Devices.ComPorts[{key:?}]");
        let number = key.parse().ok().filter(|number| *number < 2).ok_or_else(|| {
            Error::new(Cause::InvalidData, format!("found the port {key:?}, expected 0 or 1")).at(&at)
        })?;
        let blame = format!("{at}.NamedPipe");
        // Without a pipe it is not connected, which is as if it were not there.
        if let Some(socket) = socket(port.named_pipe, &blame)? {
            ports.push(SerialPort { number, socket, blame });
        }
    }
    Ok(ports)
}

fn virtio_ports(devices: &Devices) -> Result<Vec<VirtioPort>, Error> {
    const MOST: u32 = 31;
    let mut ports = Vec::new();
    let given = devices.virtio_serial.clone().and_then(|serial| serial.ports).unwrap_or_default();
    for (key, port) in given {
        let at = format!("$.VirtualMachine.Devices.VirtioSerial.Ports[{key:?}]");
        let wrong = |detail: String, at: &str| Error::new(Cause::InvalidData, detail).at(at);
        let number: u32 = key
            .parse()
            .ok()
            .filter(|number| (1..=MOST).contains(number))
            .ok_or_else(|| wrong(format!("found the port {key:?}, expected 1 to {MOST}"), &at))?;
        let blame = format!("{at}.NamedPipe");
        let Some(socket) = socket(port.named_pipe, &blame)? else { continue };
        let name = port.name.filter(|name| !name.is_empty());
        if name.as_ref().is_some_and(|name| name.contains([',', '\0'])) {
            return Err(wrong(
                format!("found {name:?}, expected a name without a comma"),
                &format!("{at}.Name"),
            ));
        }
        ports.push(VirtioPort { number, name, socket, blame });
    }
    Ok(ports)
}

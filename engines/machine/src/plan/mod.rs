//! What will be done for a virtual machine, as plain data. hcsd makes it from the document, the worker carries it out and
//! keeps it up to date with what is changed later.

pub mod adapters;
pub mod boot;
mod command_line;
pub mod disks;
pub mod display;
pub mod dump;
pub mod hosted;
pub mod mapped;
pub mod ports;
pub mod saved;
pub mod shares;
pub mod sockets;
pub mod topology;

use hcs_container::policy::{self, Notice};
use hcs_core::{Cause, Error, RuntimeId, absolute};
use hcs_schema::{ComputeSystem, Reading, VirtualMachine};
use serde::{Deserialize, Serialize};

pub use self::{
    adapters::{Adapter, Link},
    boot::Boot,
    disks::{Controller, Disk},
    display::Display,
    dump::Dump,
    hosted::HostedDevice,
    mapped::{Content, MappedFile, PersistentDevice, PersistentMemory, SharedRegion},
    ports::{MappedPipe, Pipe, VirtioPort},
    saved::Restore,
    shares::FolderShare,
    topology::{Memory, Processors},
};
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
    /// Its memory.
    pub memory: Memory,
    /// Its processors.
    pub processors: Processors,
    /// What is booted.
    pub boot: Boot,
    /// Whether the clock of the machine shows UTC.
    pub utc: bool,
    /// Whether the guest may save itself and switch off.
    pub hibernation: bool,
    /// A guest that resets ends.
    pub stop_on_reset: bool,
    /// What the firmware tells of the machine: board serial, chassis serial, asset tag.
    pub serials: [Option<String>; 3],
    /// Controllers with their disks.
    pub controllers: Vec<Controller>,
    /// Network adapters.
    pub adapters: Vec<Adapter>,
    /// The two serial ports, as far as they are connected.
    pub serial_ports: [Option<Pipe>; 2],
    /// Ports of the virtio serial controller.
    pub virtio_ports: Vec<VirtioPort>,
    /// Sockets of others that are ports of the guest.
    pub pipes: Vec<MappedPipe>,
    /// Its persistent memory.
    pub persistent: Option<PersistentMemory>,
    /// Memory that it shares with the host.
    pub shared: Vec<SharedRegion>,
    /// Whether it has a trusted platform module.
    pub tpm: bool,
    /// Its screen.
    pub display: Option<Display>,
    /// Where its firmware remembers; without that it forgets.
    pub guest_state: Option<GuestStateFile>,
    /// Folders of the host that it can mount; none is that it gets none.
    #[serde(default)]
    pub shares: Option<Vec<FolderShare>>,
    /// Whether its guest has sockets to programs of the host: for them, or for its agent.
    #[serde(default)]
    pub has_sockets: bool,
    /// Devices that applications are for its guest.
    #[serde(default)]
    pub hosted: Vec<HostedDevice>,
    /// Whether it was made with places for more of them than every machine has.
    #[serde(default)]
    pub has_places_for_hosted: bool,
    /// Whether there is an agent in it.
    #[serde(default)]
    pub guest: bool,
    /// Whether that calls its host by sockets, instead of having a port to its worker.
    #[serde(default)]
    pub guest_by_sockets: bool,
    /// What it is restored from; without that it boots.
    pub restore: Option<Restore>,
    /// Where the memory of a guest that crashes is written.
    pub dump: Option<Dump>,
}

/// Where the firmware and the trusted platform module of a machine remember.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestStateFile {
    /// The file.
    pub path: String,
    /// What is new is written there; else it is forgotten.
    pub is_kept: bool,
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
    /// The memory of the host, beyond which no machine grows.
    pub memory_mib: u64,
    /// The folder of the sockets to its guest.
    #[serde(default)]
    pub sockets: String,
    /// How long the start of a machine waits for the agent in it, in seconds.
    #[serde(default)]
    pub guest_patience: u32,
    /// What its processors can do, as a VmProcessorRequirements document, where a guest has the processors themselves.
    pub processor: Option<serde_json::Value>,
}

impl Plan {
    /// Plans a machine.
    pub fn new(
        reading: &Reading<ComputeSystem>,
        id: &str,
        runtime_id: RuntimeId,
        cgroup_parent: &str,
    ) -> Result<(Plan, Vec<Notice>), Error> {
        let mut notices = policy::admit(MACHINE, reading)?;
        let Some(machine) = &reading.value.virtual_machine else {
            return Err(Error::new(Cause::InvalidData, "there is no VirtualMachine").at("$"));
        };
        let devices = machine.devices.clone().unwrap_or_default();
        notices.extend(display::without_screen(&devices));
        let (memory, processors) = topology::plan(machine)?;
        let chipset = machine.chipset.clone().unwrap_or_default();
        notices.extend(boot::left_out(&chipset));
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let controllers = disks::plan(&devices)?;
        let adapters = adapters::plan(&devices, runtime_id)?;
        let hosted = hosted::plan(&devices)?;
        let connection = machine.guest_connection.as_ref();
        let guest_by_sockets = connection.is_some_and(|connection| connection.use_vsock == Some(true));
        let plan = Plan {
            name: id.to_owned(),
            runtime_id: runtime_id.to_string(),
            cgroup_parent: cgroup_parent.to_owned(),
            host: Host::default(),
            memory,
            processors,
            boot: boot::plan(&chipset, &controllers, &adapters)?,
            utc: chipset.use_utc.unwrap_or(false),
            hibernation: chipset.enable_hibernation.unwrap_or(false),
            stop_on_reset: machine.stop_on_reset.unwrap_or(false),
            serials: [
                given(chipset.base_board_serial_number),
                given(chipset.chassis_serial_number),
                given(chipset.chassis_asset_tag),
            ],
            controllers,
            adapters,
            serial_ports: ports::serial(&devices)?,
            virtio_ports: ports::virtio(&devices)?,
            pipes: Vec::new(),
            persistent: mapped::persistent(&devices)?,
            shared: mapped::shared(&devices)?,
            tpm: machine.security_settings.as_ref().is_some_and(|security| security.enable_tpm == Some(true)),
            display: display::plan(&devices)?,
            guest_state: guest_state(machine)?,
            shares: shares::plan(&devices)?,
            has_sockets: sockets::plan(&devices)? || guest_by_sockets,
            has_places_for_hosted: hosted.is_some(),
            hosted: hosted.unwrap_or_default(),
            guest: connection.is_some(),
            guest_by_sockets,
            restore: saved::plan(machine)?,
            dump: dump::plan(&devices)?,
        };
        notices.extend(shares::check(&plan)?);
        for device in &plan.hosted {
            hosted::check_not_restored(&plan, device)?;
            hosted::check_rights(&plan, device)?;
        }
        for text in plan.serials.iter().flatten() {
            if text.contains([',', '\0']) {
                let detail = format!("found {text:?}, expected a text without a comma");
                return Err(Error::new(Cause::InvalidData, detail).at("$.VirtualMachine.Chipset"));
            }
        }
        Ok((plan, notices))
    }

    /// How much memory the machine may get beside what it boots with.
    pub fn growth_mib(&self) -> u64 {
        let most = if self.memory.grows { self.host.memory_mib } else { 0 };
        most.saturating_sub(self.memory.boot_mib) & !1
    }

    /// Whether it goes on where a template stands still, as others may.
    pub fn is_clone(&self) -> bool {
        matches!(self.restore, Some(Restore::Template { .. }))
    }

    /// The port at which its guest finds a share by 9P. One with an agent of this house finds them without.
    pub fn port_of(&self, share: &FolderShare) -> Option<u32> {
        let is_foreign = self.guest_by_sockets || (self.has_sockets && !self.guest);
        share.port.filter(|_| is_foreign)
    }

    /// The sockets of the host that the machine has.
    pub fn sockets(&self) -> impl Iterator<Item = &str> {
        let serial = self.serial_ports.iter().flatten().map(|pipe| pipe.socket.as_str());
        let virtio = self.virtio_ports.iter().map(|port| port.pipe.socket.as_str());
        let screen = self.display.iter().filter_map(|display| display.pipe.as_ref());
        serial.chain(virtio).chain(screen.map(|pipe| pipe.socket.as_str()))
    }
}

fn guest_state(machine: &VirtualMachine) -> Result<Option<GuestStateFile>, Error> {
    let Some(state) = &machine.guest_state else { return Ok(None) };
    let Some(path) = state.guest_state_file_path.clone().filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    absolute(&path, "$.VirtualMachine.GuestState.GuestStateFilePath")?;
    Ok(Some(GuestStateFile { path, is_kept: state.force_transient_state != Some(true) }))
}

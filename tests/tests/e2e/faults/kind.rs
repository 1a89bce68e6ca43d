//! What the operations are done to.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use hcs::{
    System,
    schema::{
        ComPort, ComputeSystem, Devices, FlexibleIoDevice, FlexibleIoDeviceHostingModel, GuestConnection,
        Guid, Plan9, RestoreState, SaveOptions, SaveType, Scsi, VirtualMachine,
    },
};
use hcs_tests::{
    Service,
    machine::{Guest, SHELL},
};

use super::{
    cell::Victim,
    operations::{NotDone, execute},
};

/// What a clone is of.
pub const TEMPLATE: &str = "template";

/// The class and the instance of the device.
pub const CLASS: &str = "872270e1-a899-4af6-b454-7193634435ad";
pub const INSTANCE: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";

/// The serial port of a utility machine at which its agent is ended.
const SCAFFOLD: &str = "scaffold";

/// What a system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Container,
    /// A virtual machine, in which a system boots that nobody waits for.
    Machine,
    /// One that goes on where another was saved.
    Restored,
    /// One that goes on where a template was saved.
    Clone,
    /// One with a device that a program is.
    Device,
    /// One that may get such a device.
    Slot,
    /// One with an agent in it.
    Utility,
}

impl Kind {
    /// Who can be killed: the program that is a device, and the agent, only where there is one.
    pub fn victims(self) -> &'static [Victim] {
        use Victim::{Agent, Client, Device, Inside, Service, Spare, Worker};
        match self {
            Kind::Container | Kind::Machine => &[Service, Worker, Inside, Spare, Client],
            Kind::Restored | Kind::Clone => &[Service, Worker, Inside, Client],
            Kind::Device | Kind::Slot => &[Service, Worker, Inside, Client, Device],
            Kind::Utility => &[Service, Worker, Inside, Client, Agent],
        }
    }

    /// Whether a cell of it takes long.
    pub fn is_slow(self) -> bool {
        !matches!(self, Kind::Container | Kind::Machine)
    }

    /// Whether there is a program that is a device of it.
    pub fn has_device_host(self) -> bool {
        matches!(self, Kind::Device | Kind::Slot)
    }

    /// The document of a system that lasts.
    pub fn document(self, service: &Service) -> ComputeSystem {
        let mut document = match self {
            Kind::Container => return service.lasting_document(),
            Kind::Machine => machine(service.root()),
            Kind::Restored => {
                let from = save_one(service).display().to_string();
                restored(machine(service.root()), RestoreState::default().save_state_file_path(from))
            }
            Kind::Clone => {
                let from = RestoreState::default().template_system_id(TEMPLATE);
                restored(machine(service.root()), from)
            }
            Kind::Device => with_devices(&Guest::make(service.root(), SHELL), |devices| {
                devices.flexible_iov([(INSTANCE.to_owned(), device())])
            }),
            Kind::Slot => Guest::make(service.root(), SHELL).document(),
            Kind::Utility => utility(service),
        };
        document.should_terminate_on_last_handle_closed = Some(false);
        document
    }

    /// The document of what must be there before. It has a serial port of its own.
    pub fn template(self, service: &Service) -> Option<ComputeSystem> {
        (self == Kind::Clone).then(|| {
            let port = service.root().join("guest").join(TEMPLATE).display().to_string();
            let mut document = machine(service.root());
            document.virtual_machine = document.virtual_machine.map(|machine| {
                let devices = machine.devices.clone().unwrap_or_default();
                let port = ComPort::default().named_pipe(port);
                machine.devices(devices.com_ports([("0".to_owned(), port)]))
            });
            document.should_terminate_on_last_handle_closed = Some(false);
            document
        })
    }

    /// Whether a running system does what it is for.
    pub fn prove(self, system: &System) -> Result<(), NotDone> {
        match self {
            Kind::Container | Kind::Utility => execute(system),
            _ => Ok(system.pause(None).wait().and_then(|()| system.resume().wait())?),
        }
    }
}

/// The device, as a line of FlexibleIov.
pub fn device() -> FlexibleIoDevice {
    FlexibleIoDevice::default()
        .emulator_id(CLASS.parse::<Guid>().unwrap())
        .hosting_model(FlexibleIoDeviceHostingModel::External)
}

fn with_devices(guest: &Guest, add: impl FnOnce(Devices) -> Devices) -> ComputeSystem {
    guest.document_with(|machine| {
        let devices = add(machine.devices.clone().unwrap_or_default());
        machine.devices(devices)
    })
}

fn machine(root: &Path) -> ComputeSystem {
    let guest = Guest::make(root, "read line");
    with_devices(&guest, |devices| devices.scsi([("one".to_owned(), Scsi::default())]))
}

fn restored(mut document: ComputeSystem, from: RestoreState) -> ComputeSystem {
    document.virtual_machine = document.virtual_machine.map(|machine| machine.restore_state(from));
    document
}

/// A machine that has only begun, saved to a file.
fn save_one(service: &Service) -> std::path::PathBuf {
    let path = service.root().join("begun.vmrs");
    if !path.exists() {
        hcs::saved::create_empty_runtime_state(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let system = service.running_from("begun", &machine(service.root()));
        system.pause(None).wait().unwrap();
        let options = SaveOptions::default()
            .save_type(SaveType::ToFile)
            .save_state_file_path(path.display().to_string());
        system.save(&options).wait().unwrap();
        system.terminate().wait().unwrap();
        system.wait_blocking().unwrap();
    }
    path
}

fn utility(service: &Service) -> ComputeSystem {
    let guest = Guest::utility(service.root(), &service.rootfs());
    let scaffold = ComPort::default().named_pipe(scaffold(service.root()).display().to_string());
    guest.document_with(|machine: VirtualMachine| {
        let devices = machine.devices.clone().unwrap_or_default();
        let mut ports = devices.com_ports.clone().unwrap_or_default();
        ports.insert("1".to_owned(), scaffold);
        let devices = devices.com_ports(ports).plan9(Plan9::default());
        machine.guest_connection(GuestConnection::default()).devices(devices)
    })
}

/// Where who ends an agent is told to.
pub fn scaffold(root: &Path) -> std::path::PathBuf {
    root.join("guest").join(SCAFFOLD)
}

//! The operations in which something goes wrong.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use hcs::{
    Client, Error, System,
    schema::{
        Any, Attachment, AttachmentType, ComputeSystem, ModifyRequestType, ModifySettingRequest, Plan9Share,
        SaveOptions, SaveType, State,
    },
};
use hcs_tests::{Service, faults::Watch, machine::Console};
use serde_json::{Value, json};

use super::{
    aside::{DeviceHost, Executioner},
    kind::{self, Kind},
};
use crate::{modify::change, read_all, script};

/// What all of them are done to.
pub const ID: &str = "web";

/// An operation of a system.
pub struct Operation {
    /// Its name.
    pub name: &'static str,
    /// What it is done to.
    pub kind: Kind,
    /// In which state the system is before; none where there is no system.
    pub from: Option<State>,
    /// In which it is afterwards.
    pub to: Option<State>,
    /// Does it. The system that is there, or that has been made.
    pub act: fn(&Stage, Option<System>) -> Result<Option<System>, NotDone>,
    /// Does the same by a program, which can be killed.
    pub command: fn(&Stage) -> Command,
    /// Whether it can be done again by who was told that it was not done.
    pub repeats: bool,
    /// The operation that is the same of a plainer system.
    pub like: Option<&'static str>,
}

impl Operation {
    const fn like(self, plainer: &'static str) -> Operation {
        Operation { like: Some(plainer), ..self }
    }
}

/// Why an operation was not done.
#[derive(Debug)]
pub enum NotDone {
    /// The service says why.
    Told(Error),
    /// The process that was to do it was killed.
    Killed,
    /// It has ended, and has said this.
    Said(String),
}

impl From<Error> for NotDone {
    fn from(error: Error) -> NotDone {
        NotDone::Told(error)
    }
}

/// Where an operation takes place.
#[derive(Clone)]
pub struct Stage {
    /// The client that does it.
    pub client: Client,
    /// What the system is.
    pub kind: Kind,
    /// A folder that containers can have.
    pub folder: PathBuf,
    /// The document of the system.
    pub document: ComputeSystem,
    /// That of what must be there before.
    template: Option<ComputeSystem>,
    root: PathBuf,
    program: PathBuf,
    socket: PathBuf,
    device_host: Option<Arc<DeviceHost>>,
    executioner: Arc<Mutex<Option<Executioner>>>,
    /// Whether the folder was told to be shared: then it is not asked for again, and must be there.
    is_shared: Arc<AtomicBool>,
}

impl Stage {
    /// A stage for one operation, with a client of its own.
    pub fn new(service: &Service, watch: &Watch, kind: Kind, document: ComputeSystem) -> Stage {
        let folder = service.root().join("data");
        fs::create_dir_all(&folder).unwrap();
        let text = serde_json::to_vec(&document).unwrap();
        fs::write(folder.join("document.json"), text).unwrap();
        Stage {
            client: service.client(),
            kind,
            folder,
            document,
            template: kind.template(service),
            root: service.root().to_owned(),
            program: hcs_tests::binaries::find("hcs"),
            socket: service.socket(),
            device_host: kind.has_device_host().then(|| Arc::new(DeviceHost::new(service, watch))),
            executioner: Arc::default(),
            is_shared: Arc::default(),
        }
    }

    /// A file that a machine can be saved to.
    fn saved(&self) -> String {
        let path = self.folder.join("saved.vmrs");
        if !path.exists() {
            hcs::saved::create_empty_runtime_state(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        }
        path.display().to_string()
    }

    /// A request about a disk.
    fn disk(&self, kind: ModifyRequestType) -> ModifySettingRequest {
        let path = self.folder.join("disk.img");
        fs::write(&path, vec![0; 1 << 20]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let disk = Attachment::default().type_(AttachmentType::VirtualDisk).path(path.display().to_string());
        ModifySettingRequest::default()
            .resource_path("VirtualMachine/Devices/Scsi/one/Attachments/1")
            .request_type(kind)
            .settings(Any::from_value(&disk).unwrap())
    }

    fn hcs(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("HCS_SOCKET", &self.socket);
        command
    }

    /// The share of a folder with a machine, and its place in there.
    fn share(&self) -> ModifySettingRequest {
        fs::write(self.folder.join("shared"), "shared").unwrap();
        let share = Plan9Share::default().access_name("data").path(self.folder.display().to_string());
        let guest = json!({"MountPath": "/mnt/data", "ShareName": "data"});
        let (add, path) = (ModifyRequestType::Add, "VirtualMachine/Devices/Plan9/Shares");
        let of_guest =
            json!({"RequestType": add.to_string(), "ResourceType": "MappedDirectory", "Settings": guest});
        request(add, path, &serde_json::to_value(share).unwrap())
            .guest_request(Any::from_value(&of_guest).unwrap())
    }

    /// A command that makes a change.
    fn modify(&self, request: &ModifySettingRequest) -> Command {
        let file = self.folder.join("request.json");
        fs::write(&file, serde_json::to_vec(request).unwrap()).unwrap();
        self.hcs(&["modify", ID, &file.display().to_string()])
    }

    /// Makes a system and brings it into the state before an operation.
    pub fn system_for(&self, operation: &Operation) -> Option<System> {
        if let Some(template) = &self.template {
            let system = self.client.create(kind::TEMPLATE, template).wait().unwrap();
            system.start().wait().unwrap();
            system.pause(None).wait().unwrap();
            system.save(&SaveOptions::default().save_type(SaveType::AsTemplate)).wait().unwrap();
        }
        let state = operation.from?;
        let system = self.client.create(ID, &self.document).wait().unwrap();
        self.stand_by().unwrap();
        if state != State::Created {
            system.start().wait().unwrap();
            self.await_guest(&system);
        }
        if state == State::Paused {
            system.pause(None).wait().unwrap();
        }
        Some(system)
    }

    /// Has those be there who stand beside the system, and are killed now and then.
    pub fn stand_by(&self) -> Result<(), String> {
        self.device_host.as_ref().map_or(Ok(()), |host| host.ensure())
    }

    /// The same, behind a connection that was cut: whose it was is not seen.
    pub fn stand_by_anew(&self) -> Result<(), String> {
        self.device_host.as_ref().map_or(Ok(()), |host| host.replace())
    }

    /// Who boots takes part in the operation only when it has booted.
    fn await_guest(&self, system: &System) {
        match self.kind {
            Kind::Device => drop(Console::at(&self.root.join("guest/com1")).until("ready")),
            Kind::Utility => *self.executioner() = Some(Executioner::wait_in(system, &self.root)),
            _ => {}
        }
    }

    /// The process that is a device, if there is one.
    pub fn device(&self) -> Option<u32> {
        self.device_host.as_ref().and_then(|host| host.pid())
    }

    /// Ends the agent in the machine; whether there was one.
    pub fn end_agent(&self) -> bool {
        self.executioner().as_ref().is_some_and(Executioner::strike)
    }

    fn executioner(&self) -> MutexGuard<'_, Option<Executioner>> {
        self.executioner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request(kind: ModifyRequestType, path: &str, settings: &Value) -> ModifySettingRequest {
    ModifySettingRequest::default()
        .resource_path(path)
        .request_type(kind)
        .settings(Any::from_value(settings).unwrap())
}

fn add_device() -> ModifySettingRequest {
    request(ModifyRequestType::Add, &device_path(), &serde_json::to_value(kind::device()).unwrap())
}

fn remove_device() -> ModifySettingRequest {
    ModifySettingRequest::default().resource_path(device_path()).request_type(ModifyRequestType::Remove)
}

fn device_path() -> String {
    format!("VirtualMachine/Devices/FlexibleIov/{}", kind::INSTANCE)
}

/// All of them.
pub const OPERATIONS: &[Operation] = &[
    create("create", Kind::Container),
    start("start", Kind::Container),
    exec("exec", Kind::Container),
    Operation {
        name: "modify",
        kind: Kind::Container,
        from: Some(State::Running),
        to: Some(State::Running),
        act: |stage, system| {
            let settings = format!(r#"{{"HostPath":"{}","ContainerPath":"/srv"}}"#, stage.folder.display());
            on(system, |system| {
                let (add, directories) = (ModifyRequestType::Add, "Container/MappedDirectories");
                change(system, add, directories, &settings)?;
                change(system, ModifyRequestType::Update, "Container/Memory/SizeInMB", "64")
            })
        },
        command: |stage| {
            stage.hcs(&["modify", ID, "--path", "Container/Memory/SizeInMB", "--settings", "64"])
        },
        // It is two.
        repeats: false,
        like: None,
    },
    pause("pause", Kind::Container),
    resume("resume", Kind::Container),
    shut_down("shut down", Kind::Container),
    terminate("terminate", Kind::Container),
    Operation { from: Some(State::Paused), ..terminate("terminate paused", Kind::Container) },
    Operation {
        name: "open",
        kind: Kind::Container,
        from: Some(State::Running),
        to: Some(State::Running),
        act: |stage, _| {
            let system = stage.client.open(ID).wait()?;
            system.properties(None).wait()?;
            Ok(Some(system))
        },
        command: |stage| stage.hcs(&["inspect", ID]),
        repeats: true,
        like: None,
    },
    create("machine create", Kind::Machine),
    start("machine start", Kind::Machine),
    pause("machine pause", Kind::Machine),
    resume("machine resume", Kind::Machine),
    Operation {
        name: "machine save",
        kind: Kind::Machine,
        from: Some(State::Paused),
        to: Some(State::Paused),
        act: |stage, system| {
            let options =
                SaveOptions::default().save_type(SaveType::ToFile).save_state_file_path(stage.saved());
            on(system, |system| system.save(&options).wait())
        },
        command: |stage| stage.hcs(&["save", ID, &stage.saved()]),
        repeats: true,
        like: None,
    },
    Operation {
        name: "machine add disk",
        kind: Kind::Machine,
        from: Some(State::Running),
        to: Some(State::Running),
        act: |stage, system| on(system, |system| system.modify(&stage.disk(ModifyRequestType::Add)).wait()),
        command: |stage| stage.modify(&stage.disk(ModifyRequestType::Add)),
        repeats: true,
        like: None,
    },
    Operation {
        name: "machine save as template",
        kind: Kind::Machine,
        from: Some(State::Paused),
        to: Some(State::SavedAsTemplate),
        act: |_, system| {
            let options = SaveOptions::default().save_type(SaveType::AsTemplate);
            on(system, |system| system.save(&options).wait())
        },
        command: |stage| stage.hcs(&["save", ID, "--template"]),
        repeats: true,
        like: None,
    },
    terminate("machine terminate", Kind::Machine),
    create("restore create", Kind::Restored).like("machine create"),
    start("restore start", Kind::Restored).like("machine start"),
    create("clone create", Kind::Clone).like("machine create"),
    start("clone start", Kind::Clone).like("machine start"),
    start("device start", Kind::Device).like("machine start"),
    pause("device pause", Kind::Device).like("machine pause"),
    resume("device resume", Kind::Device).like("machine resume"),
    Operation {
        name: "device add",
        kind: Kind::Slot,
        from: Some(State::Running),
        to: Some(State::Running),
        act: |_, system| on(system, |system| system.modify(&add_device()).wait()),
        command: |stage| stage.modify(&add_device()),
        repeats: true,
        like: None,
    },
    Operation {
        name: "device remove",
        kind: Kind::Device,
        from: Some(State::Running),
        to: Some(State::Running),
        act: |_, system| on(system, |system| system.modify(&remove_device()).wait()),
        command: |stage| stage.modify(&remove_device()),
        repeats: true,
        like: None,
    },
    terminate("device terminate", Kind::Device).like("machine terminate"),
    start("guest start", Kind::Utility).like("machine start"),
    exec("guest exec", Kind::Utility),
    Operation {
        name: "guest share",
        kind: Kind::Utility,
        from: Some(State::Running),
        to: Some(State::Running),
        act: |stage, system| {
            on(system, |system| {
                if !stage.is_shared.load(Ordering::Relaxed) {
                    system.modify(&stage.share()).wait()?;
                    stage.is_shared.store(true, Ordering::Relaxed);
                }
                says(system, "cat /mnt/data/shared 2>&1", "shared")
            })
        },
        command: |stage| stage.modify(&stage.share()),
        repeats: true,
        like: None,
    },
    shut_down("guest shut down", Kind::Utility),
    terminate("guest terminate", Kind::Utility).like("machine terminate"),
];

const fn create(name: &'static str, kind: Kind) -> Operation {
    Operation {
        name,
        kind,
        from: None,
        to: Some(State::Created),
        act: |stage, _| Ok(Some(stage.client.create(ID, &stage.document).wait()?)),
        command: |stage| {
            let document = stage.folder.join("document.json").display().to_string();
            stage.hcs(&["create", ID, &document])
        },
        repeats: true,
        like: None,
    }
}

const fn start(name: &'static str, kind: Kind) -> Operation {
    Operation {
        name,
        kind,
        from: Some(State::Created),
        to: Some(State::Running),
        act: |_, system| on(system, |system| system.start().wait()),
        command: |stage| stage.hcs(&["start", ID]),
        repeats: true,
        like: None,
    }
}

const fn exec(name: &'static str, kind: Kind) -> Operation {
    Operation {
        name,
        kind,
        from: Some(State::Running),
        to: Some(State::Running),
        act: |_, system| on(system, execute),
        command: |stage| stage.hcs(&["exec", ID, "echo", "done"]),
        repeats: true,
        like: None,
    }
}

const fn pause(name: &'static str, kind: Kind) -> Operation {
    Operation {
        name,
        kind,
        from: Some(State::Running),
        to: Some(State::Paused),
        act: |_, system| on(system, |system| system.pause(None).wait()),
        command: |stage| stage.hcs(&["pause", ID]),
        repeats: true,
        like: None,
    }
}

const fn resume(name: &'static str, kind: Kind) -> Operation {
    Operation {
        name,
        kind,
        from: Some(State::Paused),
        to: Some(State::Running),
        act: |_, system| on(system, |system| system.resume().wait()),
        command: |stage| stage.hcs(&["resume", ID]),
        repeats: true,
        like: None,
    }
}

const fn terminate(name: &'static str, kind: Kind) -> Operation {
    Operation {
        name,
        kind,
        from: Some(State::Running),
        to: None,
        act: |_, system| on(system, |system| system.terminate().wait()),
        command: |stage| stage.hcs(&["kill", ID]),
        repeats: true,
        like: None,
    }
}

const fn shut_down(name: &'static str, kind: Kind) -> Operation {
    Operation {
        name,
        kind,
        from: Some(State::Running),
        to: None,
        act: |_, system| {
            on(system, |system| {
                system.shut_down(None).wait()?;
                system.wait_blocking().map(drop)
            })
        },
        command: |stage| stage.hcs(&["stop", ID]),
        repeats: true,
        like: None,
    }
}

fn on<E: Into<NotDone>>(
    system: Option<System>,
    act: impl FnOnce(&System) -> Result<(), E>,
) -> Result<Option<System>, NotDone> {
    let system = system.expect("a system");
    act(&system).map_err(Into::into)?;
    Ok(Some(system))
}

/// Runs a process to its end.
pub fn execute(system: &System) -> Result<(), NotDone> {
    says(system, "echo done", "done\n")
}

/// Runs a script, which is to say this.
fn says(system: &System, text: &str, expected: &str) -> Result<(), NotDone> {
    let mut process = system.run(&script(text)).wait()?;
    let said = read_all(process.pipes.stdout.take());
    let status = process.wait_blocking()?;
    match status.exit_code.unwrap_or(0) {
        0 if said == expected => Ok(()),
        137 => Err(NotDone::Killed),
        _ => Err(NotDone::Said(said)),
    }
}

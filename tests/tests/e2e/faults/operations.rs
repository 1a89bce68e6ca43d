//! The operations in which something goes wrong.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use hcs::{
    Client, Error, System,
    schema::{
        Any, Attachment, AttachmentType, ComputeSystem, ModifyRequestType, ModifySettingRequest, SaveOptions,
        SaveType, Scsi, State,
    },
};
use hcs_tests::{Service, machine::Guest};

use crate::{modify::change, read_all, script};

/// What all of them are done to.
pub const ID: &str = "web";

/// What a system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Container,
    /// A virtual machine, in which a system boots that nobody waits for.
    Machine,
}

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
}

/// Why an operation was not done.
#[derive(Debug)]
pub enum NotDone {
    /// The service says why.
    Told(Error),
    /// The process that was to do it was killed.
    Killed,
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
    /// A folder that containers can have.
    pub folder: PathBuf,
    /// The document of the system.
    pub document: ComputeSystem,
    program: PathBuf,
    socket: PathBuf,
}

impl Stage {
    /// A stage for one operation, with a client of its own.
    pub fn new(service: &Service, document: ComputeSystem) -> Stage {
        let folder = service.root().join("data");
        fs::create_dir_all(&folder).unwrap();
        let text = serde_json::to_vec(&document).unwrap();
        fs::write(folder.join("document.json"), text).unwrap();
        Stage {
            client: service.client(),
            folder,
            document,
            program: hcs_tests::binaries::find("hcs"),
            socket: service.socket(),
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

    /// Makes a system and brings it into a state.
    pub fn system_in(&self, state: State) -> System {
        let system = self.client.create(ID, &self.document).wait().unwrap();
        if state != State::Created {
            system.start().wait().unwrap();
        }
        if state == State::Paused {
            system.pause(None).wait().unwrap();
        }
        system
    }
}

/// All of them.
pub const OPERATIONS: &[Operation] = &[
    create("create", Kind::Container),
    start("start", Kind::Container),
    Operation {
        name: "exec",
        kind: Kind::Container,
        from: Some(State::Running),
        to: Some(State::Running),
        act: |_, system| on(system, execute),
        command: |stage| stage.hcs(&["exec", ID, "echo", "done"]),
    },
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
    },
    pause("pause", Kind::Container),
    resume("resume", Kind::Container),
    Operation {
        name: "shut down",
        kind: Kind::Container,
        from: Some(State::Running),
        to: None,
        act: |_, system| {
            on(system, |system| {
                system.shut_down(None).wait()?;
                system.wait_blocking().map(drop)
            })
        },
        command: |stage| stage.hcs(&["stop", ID]),
    },
    terminate("terminate", Kind::Container),
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
    },
    Operation {
        name: "machine add disk",
        kind: Kind::Machine,
        from: Some(State::Running),
        to: Some(State::Running),
        act: |stage, system| on(system, |system| system.modify(&stage.disk(ModifyRequestType::Add)).wait()),
        command: |stage| {
            let request = stage.folder.join("add.json");
            let text = serde_json::to_vec(&stage.disk(ModifyRequestType::Add)).unwrap();
            fs::write(&request, text).unwrap();
            stage.hcs(&["modify", ID, &request.display().to_string()])
        },
    },
    terminate("machine terminate", Kind::Machine),
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
    let mut process = system.run(&script("echo done")).wait()?;
    let said = read_all(process.pipes.stdout.take());
    let status = process.wait_blocking()?;
    match status.exit_code.unwrap_or(0) {
        0 if said == "done\n" => Ok(()),
        137 => Err(NotDone::Killed),
        code => panic!("a process has said {said:?} and ended with {code}"),
    }
}

impl Kind {
    /// The document of a system that lasts.
    pub fn document(self, service: &Service) -> ComputeSystem {
        match self {
            Kind::Container => service.lasting_document(),
            Kind::Machine => {
                let guest = Guest::make(service.root(), "read line");
                let mut document = guest.document_with(|machine| {
                    let devices = machine.devices.clone().unwrap_or_default();
                    machine.devices(devices.scsi([("one".to_owned(), Scsi::default())]))
                });
                document.should_terminate_on_last_handle_closed = Some(false);
                document
            }
        }
    }

    /// Whether a running system does what it is for.
    pub fn prove(self, system: &System) -> Result<(), NotDone> {
        match self {
            Kind::Container => execute(system),
            Kind::Machine => Ok(system.pause(None).wait().and_then(|()| system.resume().wait())?),
        }
    }
}

//! The operations in which something goes wrong.

use std::{fs, path::PathBuf, process::Command};

use hcs::{
    Client, Error, System,
    schema::{ModifyRequestType, State},
};
use hcs_tests::Service;

use crate::{modify::change, read_all, script};

/// What all of them are done to.
pub const ID: &str = "web";

/// An operation of a container.
pub struct Operation {
    /// Its name.
    pub name: &'static str,
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
    pub document: hcs::schema::ComputeSystem,
    program: PathBuf,
    socket: PathBuf,
}

impl Stage {
    /// A stage for one operation, with a client of its own.
    pub fn new(service: &Service) -> Stage {
        let folder = service.root().join("data");
        fs::create_dir_all(&folder).unwrap();
        let document = service.lasting_document();
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
    Operation {
        name: "create",
        from: None,
        to: Some(State::Created),
        act: |stage, _| Ok(Some(stage.client.create(ID, &stage.document).wait()?)),
        command: |stage| {
            let document = stage.folder.join("document.json").display().to_string();
            stage.hcs(&["create", ID, &document])
        },
    },
    Operation {
        name: "start",
        from: Some(State::Created),
        to: Some(State::Running),
        act: |_, system| on(system, |system| system.start().wait()),
        command: |stage| stage.hcs(&["start", ID]),
    },
    Operation {
        name: "exec",
        from: Some(State::Running),
        to: Some(State::Running),
        act: |_, system| on(system, execute),
        command: |stage| stage.hcs(&["exec", ID, "echo", "done"]),
    },
    Operation {
        name: "modify",
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
    Operation {
        name: "pause",
        from: Some(State::Running),
        to: Some(State::Paused),
        act: |_, system| on(system, |system| system.pause(None).wait()),
        command: |stage| stage.hcs(&["pause", ID]),
    },
    Operation {
        name: "resume",
        from: Some(State::Paused),
        to: Some(State::Running),
        act: |_, system| on(system, |system| system.resume().wait()),
        command: |stage| stage.hcs(&["resume", ID]),
    },
    Operation {
        name: "shut down",
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
    Operation {
        name: "terminate",
        from: Some(State::Running),
        to: None,
        act: |_, system| on(system, |system| system.terminate().wait()),
        command: |stage| stage.hcs(&["kill", ID]),
    },
    Operation {
        name: "open",
        from: Some(State::Running),
        to: Some(State::Running),
        act: |stage, _| {
            let system = stage.client.open(ID).wait()?;
            system.properties(None).wait()?;
            Ok(Some(system))
        },
        command: |stage| stage.hcs(&["inspect", ID]),
    },
];

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

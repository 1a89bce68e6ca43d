//! Who is measured: our service, and the runtimes that are installed.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use hcs::{
    Client, System,
    schema::{Any, ProcessParameters},
};

use crate::{Outcome, bundle, service::Service, usage};

/// What one measurement took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// On the clock.
    pub wall: Duration,
    /// Of the processors, by all who took part. Coarse; only sums say something.
    pub processor: Duration,
}

/// Somebody who runs containers.
pub trait Contestant {
    /// For the table.
    fn name(&self) -> String;
    /// A container's whole life: made, started, its process has ended, all removed.
    fn cycle(&mut self) -> Outcome<Cost>;
    /// A process in a container that is there, until its end.
    fn exec(&mut self) -> Outcome<Cost>;
}

/// Ours: the way is through the service, with a client that is connected.
pub struct Ours {
    service: Service,
    client: Client,
    document: Any,
    parameters: ProcessParameters,
    running: System,
    number: u64,
}

impl Ours {
    /// Starts a service.
    pub fn start() -> Outcome<Ours> {
        let service = Service::start()?;
        bundle::root_fs(&service.folder().join("rootfs"))?;
        let client = Client::connect_to(hcs::link::Options { socket: service.socket() })?;
        let document = Any::from_text(format!(
            r#"{{"Owner":"bench","SchemaVersion":{{"Major":2,"Minor":1}},
                "Container":{{"Storage":{{"Path":{:?}}},"GuestOs":{{"HostName":"bench"}}}}}}"#,
            service.folder().join("rootfs")
        ))?;
        let parameters = ProcessParameters::default().command_args(vec![bundle::PROGRAM.to_owned()]);
        let running = client.create_from("running", document.clone(), false).wait()?;
        running.start().wait()?;
        Ok(Ours { service, client, document, parameters, running, number: 0 })
    }

    /// Where the root file system is.
    pub fn root_fs(&self) -> PathBuf {
        self.service.folder().join("rootfs")
    }

    /// Of the service, of this process, of workers that live. What a worker that lives has used is not counted
    /// by anybody else.
    fn used(&self) -> Outcome<Duration> {
        let service = self.service.pid();
        let mut sum = usage::of(service)? + usage::own()?;
        for worker in usage::children(service) {
            sum += usage::of(worker).unwrap_or_default();
        }
        Ok(sum)
    }

    fn measured(&mut self, action: impl FnOnce(&mut Ours) -> Outcome) -> Outcome<Cost> {
        let (used, began) = (self.used()?, Instant::now());
        action(self)?;
        let wall = began.elapsed();
        Ok(Cost { wall, processor: self.used()?.saturating_sub(used) })
    }
}

impl Contestant for Ours {
    fn name(&self) -> String {
        "hcs, through the service".to_owned()
    }

    fn cycle(&mut self) -> Outcome<Cost> {
        self.measured(|ours| {
            ours.number += 1;
            let id = format!("cycle-{}", ours.number);
            let system = ours.client.create_from(&id, ours.document.clone(), false).wait()?;
            system.start().wait()?;
            let process = system.run(&ours.parameters).wait()?;
            process.wait_blocking()?;
            system.terminate().wait()?;
            Ok(())
        })
    }

    fn exec(&mut self) -> Outcome<Cost> {
        self.measured(|ours| {
            let process = ours.running.run(&ours.parameters).wait()?;
            process.wait_blocking()?;
            Ok(())
        })
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // The folder goes with the service; what resists is found there.
        let _ = self.running.terminate().wait();
    }
}

/// A runtime of the OCI kind.
pub struct Runtime {
    program: &'static str,
    folder: PathBuf,
    number: u64,
}

impl Runtime {
    /// Prepares a runtime, with a container in which processes can be started. `None` if it is not installed.
    pub fn prepare(program: &'static str, folder: &Path, root_fs: &Path) -> Outcome<Option<Runtime>> {
        let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !quiet(Command::new(program).arg("--version")).is_ok_and(|status| status.success()) {
            return Ok(None);
        }
        let folder = folder.join(program);
        bundle::write(&folder.join("cycle"), root_fs, false)?;
        bundle::write(&folder.join("waits"), root_fs, true)?;
        let runtime = Runtime { program, folder, number: 0 };
        let waits = runtime.folder.join("waits");
        let status = runtime
            .command()
            .args(["run", "--detach", "--bundle"])
            .arg(waits)
            .arg(runtime.waiting())
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!("{program} does not run a container").into());
        }
        Ok(Some(runtime))
    }

    fn waiting(&self) -> String {
        format!("hcs-bench-{}-waits", std::process::id())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.arg("--root").arg(self.folder.join("state")).stdin(Stdio::null());
        command
    }

    fn measured(&self, command: &mut Command) -> Outcome<Cost> {
        let (used, began) = (usage::own()?, Instant::now());
        let status = command.status()?;
        let wall = began.elapsed();
        if !status.success() {
            return Err(format!("{} ended with {status}", self.program).into());
        }
        Ok(Cost { wall, processor: usage::own()?.saturating_sub(used) })
    }
}

impl Contestant for Runtime {
    fn name(&self) -> String {
        self.program.to_owned()
    }

    fn cycle(&mut self) -> Outcome<Cost> {
        self.number += 1;
        let id = format!("hcs-bench-{}-{}", std::process::id(), self.number);
        let bundle = self.folder.join("cycle");
        self.measured(self.command().args(["run", "--bundle"]).arg(bundle).arg(id))
    }

    fn exec(&mut self) -> Outcome<Cost> {
        self.measured(self.command().args(["exec", &self.waiting(), bundle::PROGRAM]))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = self.command().args(["delete", "--force", &self.waiting()]).status();
    }
}

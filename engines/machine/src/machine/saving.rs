//! A machine that is saved, to a file or as a template, and one that goes on where another was saved.

use std::{
    fs::File,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error};
use hcs_state::{
    replace::Replacement,
    runtime::{self, Description, Saved},
};
use rustix::{fs::OFlags, io::Errno};
use serde_json::{Value, json};

use super::{Machine, Running};
use crate::{
    files,
    memory::{Memory, nameless, reopen},
    plan::{Plan, Restore, saved},
};

/// How long the devices may take to tell their state, or to take it over.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a clone needs of a template.
#[derive(Debug)]
pub struct Template {
    /// The plan of the template.
    pub plan: Plan,
    /// The state of its devices, its memory, and more of that.
    pub files: Vec<OwnedFd>,
}

impl Machine {
    /// Saves a machine that stands still to a file, which is there.
    pub fn save(&mut self, path: &str) -> Result<(), Error> {
        const AT: &str = "$.SaveStateFilePath";
        let doing = format!("saving the machine to {path}");
        let failed = |error: std::io::Error| Error::from_io(&error, &doing).at(AT);
        self.check_savable()?;
        // It is the machine's to write there.
        let old = files::open(&self.plan.host, path, OFlags::RDWR, AT)?;
        let replacement = Replacement::begin(Path::new(path), &old).map_err(failed)?;
        let description = self.description()?;
        let running = self.running()?;
        let (state, memory) = running.state()?;
        runtime::write(replacement.file(), &description, state, &memory.regions())
            .map_err(|error| error.at(AT))?;
        replacement.keep().map_err(failed)
    }

    /// Makes a machine that stands still a template. It does not go on after that.
    pub fn save_as_template(&mut self) -> Result<(), Error> {
        self.check_savable()?;
        let running = self.running()?;
        if running.has_shown_memory {
            // Who has mapped it can write there as long as it lives, whatever clones believe.
            let detail = "the machine cannot be a template: applications were devices of it, and may have its memory still";
            return Err(Error::new(Cause::NotSupported, detail).hint("Save it to a file instead."));
        }
        let (_, memory) = running.state()?;
        memory.freeze()
    }

    /// What a clone of this template needs.
    pub fn template(&mut self) -> Result<Template, Error> {
        let failed = |error: std::io::Error| Error::from_io(&error, "holding a template");
        let plan = self.plan.clone();
        let running = self.running()?;
        let (state, memory) = running.state()?;
        let files = [state].into_iter().chain(memory.regions());
        let files = files
            .map(|file| file.try_clone().map(OwnedFd::from))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        Ok(Template { plan, files })
    }

    fn check_savable(&mut self) -> Result<(), Error> {
        let plan = &self.plan;
        if !plan.hosted.is_empty() {
            // QEMU would save nothing of them, and not say so.
            let detail = "the machine cannot be saved: applications are devices of it";
            return Err(Error::new(Cause::NotSupported, detail).hint("Remove them before it is paused."));
        }
        let hindrances = [
            (
                self.running.as_ref().is_some_and(|running| running.memory.is_private),
                "its memory is that of its template",
            ),
            (!plan.pipes.is_empty(), "a mapped pipe has somebody at its other end"),
            // Where the guest has it is not known yet when its place is looked for.
            (!plan.shared.is_empty(), "it shares memory with the host"),
            (plan.guest_by_sockets, "its agent speaks by sockets (UseVsock)"),
            (plan.has_sockets, "its guest has sockets to programs of the host"),
            // What the guest has open there is known to the program that serves it, and cannot be told.
            (
                self.running.as_ref().is_some_and(|running| running.server.is_some()),
                "it has shared folders of the host",
            ),
            (!self.waits.is_empty(), "a change of it waits for the guest"),
        ];
        let Some((_, what)) = hindrances.into_iter().find(|(hinders, _)| *hinders) else { return Ok(()) };
        Err(Error::new(Cause::NotSupported, format!("the machine cannot be saved: {what}")))
    }

    fn description(&mut self) -> Result<Description, Error> {
        let unwritable = |error: serde_json::Error| Error::new(Cause::Unexpected, error.to_string());
        let plan = serde_json::to_value(&self.plan).map_err(unwritable)?;
        let processor = self.plan.host.processor.clone().unwrap_or_else(|| json!({}));
        let (name, kvm) = (self.plan.name.clone(), self.plan.host.kvm);
        Ok(Description { name, plan, qemu: self.running()?.version, kvm, processor })
    }

    /// The memory that the machine begins with, and the state that its devices begin with.
    pub(super) fn beginning(&mut self) -> Result<(Memory, Option<File>), Error> {
        match &self.plan.restore {
            None => Ok((Memory::new(&self.plan)?, None)),
            Some(Restore::File { path }) => {
                let file = files::open(&self.plan.host, path, OFlags::RDONLY, saved::FILE)?;
                let at = |error: Error| error.at(saved::FILE);
                let saved = Saved::open(file).map_err(at)?;
                let (memory, state) = Memory::load(&self.plan, &saved).map_err(at)?;
                Ok((memory, Some(state)))
            }
            Some(Restore::Template { .. }) => self.beginning_of_clone(),
        }
    }

    fn beginning_of_clone(&mut self) -> Result<(Memory, Option<File>), Error> {
        let failed = |error: std::io::Error| {
            Error::from_io(&error, "taking the memory of a template").at(saved::TEMPLATE)
        };
        let given: Vec<File> = self
            .given
            .iter()
            .map(|file| file.try_clone().map(File::from))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        let mut given = given.into_iter();
        let (Some(state), Some(boot)) = (given.next(), given.next()) else {
            return Err(Error::new(Cause::Unexpected, "nothing of the template has come").at(saved::TEMPLATE));
        };
        let more = match given.next() {
            None => None,
            // It comes and goes piece by piece, which nobody else must see.
            Some(theirs) => {
                let own = nameless("hcs-growth", self.plan.growth_mib())?;
                let length = theirs.metadata().map_err(failed)?.len();
                runtime::copy_memory(&theirs, &own, &(0..length)).map_err(failed)?;
                Some(own)
            }
        };
        Ok((Memory { boot, more, is_private: true }, Some(state)))
    }
}

impl Running {
    /// What saving and restoring need, on both sides.
    pub(super) fn prepare_to_move(&mut self) -> Result<(), Error> {
        let capability = |name: &str| json!({"capability": name, "state": true});
        // Memory that we have ourselves is none of QEMU's business.
        let capabilities = [capability("x-ignore-shared"), capability("events")];
        self.qmp.run("migrate-set-capabilities", json!({"capabilities": capabilities}))?;
        // It would be kept as slow as for a network.
        self.qmp.run("migrate-set-parameters", json!({"max-bandwidth": u64::MAX >> 1})).map(|_| ())
    }

    /// The state of the devices and the memory of a machine that stands still. It is asked for once: QEMU tells it once.
    fn state(&mut self) -> Result<(&File, &Memory), Error> {
        if self.state.is_none() {
            let state = nameless("hcs-state", 0)?;
            let failed = |errno: Errno| {
                Error::from_errno(errno.raw_os_error(), "making room for the state of the devices")
            };
            self.move_by("migrate", &reopen(&state, OFlags::WRONLY).map_err(failed)?)?;
            self.state = Some(state);
        }
        match &self.state {
            Some(state) => Ok((state, &self.memory)),
            None => Err(Cause::Unexpected.into()),
        }
    }

    /// Has the devices take over the state of others.
    pub(super) fn take_over(&mut self, state: &File) -> Result<(), Error> {
        let failed =
            |errno: Errno| Error::from_errno(errno.raw_os_error(), "reading the state of the devices");
        self.move_by("migrate-incoming", &reopen(state, OFlags::RDONLY).map_err(failed)?)
    }

    fn move_by(&mut self, command: &str, file: &OwnedFd) -> Result<(), Error> {
        self.with_file(file.as_fd(), |running, given| {
            running.qmp.take_events(|event| event.name == "MIGRATION");
            let moved = running.qmp.run(command, json!({"uri": format!("file:/dev/fdset/{}", given.set)}));
            // A device that cannot be saved says so at once.
            moved.map_err(|error| match running.is_hindered() {
                true => Error { cause: Cause::NotSupported, ..error },
                false => error,
            })?;
            running.await_move()
        })
    }

    /// Whether there is something that can never be saved, and not only a failure.
    fn is_hindered(&mut self) -> bool {
        let told = self.qmp.run("query-migrate", Value::Null);
        told.is_ok_and(|told| told["blocked-reasons"].as_array().is_some_and(|reasons| !reasons.is_empty()))
    }

    fn await_move(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        let is_over =
            |data: &Value| matches!(data["status"].as_str(), Some("completed" | "failed" | "cancelled"));
        let event = self.qmp.await_event("MIGRATION", is_over, deadline)?;
        if event["status"] == "completed" {
            return Ok(());
        }
        let why = self.qmp.run("query-migrate", Value::Null)?;
        Err(Error::new(
            Cause::Unexpected,
            format!("the devices have not told or taken their state: {}", why["error-desc"]),
        ))
    }
}

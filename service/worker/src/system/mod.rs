//! The worker's compute system: a container or a virtual machine, its life, and how it ends.
//!
//! Nothing here waits. The loop in [`crate::worker`] polls [`System::init`] and the processes and calls
//! [`System::process_ended`] and [`System::init_ended`]; the end of the system is complete when
//! [`System::phase`] says `Exited`.
//!
//! - [`processes`]: the processes that the worker has started in it.
//! - [`machine`]: what only a virtual machine is asked, and tells.

mod machine;
mod processes;

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use hcs_container::{Container, ProcessPlan, change::Change, process};
use hcs_core::{Cause, Error, Exit};
use hcs_gcs::records::NULL_ID;
use hcs_ipc::worker::{Notice, Phase, ProcessExit, ProcessRecord};

use self::processes::Processes;
pub use self::processes::no_console;
use crate::{
    carrier::Sockets,
    device_hosts::Shared as DeviceHosts,
    engine::Engine,
    guest::{self, Guest},
    kept::Kept,
    tracked::{Ends, track},
};

/// The system of this worker.
pub struct System {
    phase: Phase,
    engine: Option<Engine>,
    processes: Processes,
    ending: Option<Ending>,
    started: Option<(SystemTime, Instant)>,
    memory: MemoryKills,
    /// The guest of a machine, if an agent speaks for it.
    guest: Option<Guest>,
    /// Where its agent calls, until somebody waits for it there.
    guest_sockets: Option<Sockets>,
    /// Who is devices of a machine.
    device_hosts: DeviceHosts,
    /// What its processes and consoles have said.
    kept: Kept,
    /// Something of it could not be removed.
    has_left: bool,
}

/// What the memory limit of the container has done, as far as it was told.
#[derive(Default)]
struct MemoryKills(u64);

impl MemoryKills {
    /// Whether it has killed since the last time this was asked. Who then died by SIGKILL, or passes that on as its
    /// own exit, is taken for its victim.
    fn has_killed(&mut self, engine: Option<&Engine>) -> bool {
        let counters = engine.and_then(|engine| engine.counters().ok());
        let kills = counters.map_or(0, |counters| counters.out_of_memory_kills);
        std::mem::replace(&mut self.0, kills) < kills
    }
}

/// The exit of a process that SIGKILL has ended.
const KILLED: u32 = 137;

/// Why the system is coming to its end.
struct Ending {
    exit: Exit,
    kill_at: Option<Instant>,
}

impl System {
    /// Nothing yet.
    pub fn new() -> System {
        System {
            phase: Phase::Idle,
            engine: None,
            processes: Processes::default(),
            ending: None,
            started: None,
            memory: MemoryKills::default(),
            guest: None,
            guest_sockets: None,
            device_hosts: DeviceHosts::default(),
            kept: Kept::default(),
            has_left: false,
        }
    }

    /// Where it is in its life.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// What is known of its processes.
    pub fn records(&self) -> Vec<ProcessRecord> {
        self.processes.records().chain(self.guest.iter().flat_map(|guest| guest.records(NULL_ID))).collect()
    }

    /// The processes that the worker has started.
    pub fn processes(&self) -> &Processes {
        &self.processes
    }

    /// The same, to do something with one.
    pub fn processes_mut(&mut self) -> &mut Processes {
        &mut self.processes
    }

    /// Makes it.
    pub fn create(&mut self, make: impl FnOnce() -> Result<Engine, Error>) -> Result<(), Error> {
        if self.phase != Phase::Idle {
            return Err(Cause::InvalidState.into());
        }
        self.engine = Some(make()?);
        self.phase = Phase::Created;
        Ok(())
    }

    /// Starts it.
    pub fn start(&mut self) -> Result<(), Error> {
        let Some(engine) = self.engine.as_mut().filter(|_| self.phase == Phase::Created) else {
            return Err(Cause::InvalidState.into());
        };
        // Somebody listens before its guest can call.
        let folder = engine.machine().and_then(|machine| machine.guest_sockets()).map(PathBuf::from);
        let sockets = folder.map(|folder| guest::listen(&folder)).transpose()?;
        engine.start()?;
        self.guest_sockets = sockets;
        if engine.machine().is_some() {
            self.kept.keep_consoles();
        }
        self.phase = Phase::Running;
        self.started = Some((SystemTime::now(), Instant::now()));
        Ok(())
    }

    /// Suspends or continues it.
    pub fn freeze(&mut self, frozen: bool) -> Result<(), Error> {
        let (from, to) =
            if frozen { (Phase::Running, Phase::Paused) } else { (Phase::Paused, Phase::Running) };
        if self.phase != from || self.ending.is_some() {
            return Err(Cause::InvalidState.into());
        }
        self.engine_mut()?.freeze(frozen)?;
        self.phase = to;
        if let Some(guest) = self.guest.as_mut().filter(|_| !frozen) {
            guest.tell_time();
        }
        Ok(())
    }

    /// Changes its limits, or what of the host appears in it.
    pub fn change(&mut self, change: &Change) -> Result<(), Error> {
        if self.ending.is_some() {
            return Err(Cause::InvalidState.into());
        }
        self.engine_mut()?.container_mut()?.change(change)
    }

    /// What its processes and consoles have said.
    pub fn kept(&mut self) -> &mut Kept {
        &mut self.kept
    }

    /// The same, only to be looked at.
    pub fn heard_output(&self) -> &Kept {
        &self.kept
    }

    /// What was kept, and with `follow` what comes.
    pub fn hand_out_output(&mut self, of: Option<u32>, follow: bool) -> Result<OwnedFd, Error> {
        self.hear_consoles();
        self.kept.hand_out(of, follow)
    }

    /// Asks every process to end; after the grace the rest is killed. A machine has all the time that it needs.
    pub fn shut_down(&mut self, grace: Duration) -> Result<(), Error> {
        if self.phase != Phase::Running {
            return Err(Cause::InvalidState.into());
        }
        if self.ending.is_some() {
            return Err(Cause::SystemAlreadyStopped.into());
        }
        match (&mut self.guest, &mut self.engine) {
            (Some(guest), Some(Engine::Machine(machine))) if guest.is_connected() => {
                guest.ask_to_end()?;
                machine.is_told_to_end();
            }
            _ => self.engine_mut()?.ask_to_end()?,
        }
        if self.engine_mut()?.machine().is_some() {
            // It goes on until it has come to its end by itself.
            return Ok(());
        }
        self.ending = Some(Ending { exit: Exit::ShutDownByClient, kill_at: Some(Instant::now() + grace) });
        self.finish_if_empty();
        Ok(())
    }

    /// Kills it. The end is complete at once if nothing runs, else when init is seen dead.
    pub fn terminate(&mut self, exit: Exit) -> Result<(), Error> {
        match self.phase {
            Phase::Exited(_) => return Ok(()),
            Phase::Idle => self.phase = Phase::Exited(exit),
            Phase::Created => {
                self.engine_mut()?.remove()?;
                self.device_hosts.end();
                self.phase = Phase::Exited(exit);
            }
            Phase::Running | Phase::Paused | Phase::Template => {
                self.engine()?.kill()?;
                self.ending = Some(Ending { exit, kill_at: None });
            }
        }
        Ok(())
    }

    /// When the grace of a shutdown ends.
    pub fn deadline(&self) -> Option<Instant> {
        self.ending.as_ref().and_then(|ending| ending.kill_at)
    }

    /// The grace is over. Whoever cannot be killed is tried again, and not at once and for ever.
    pub fn deadline_passed(&mut self) {
        const AGAIN: Duration = Duration::from_secs(1);
        if let Err(error) = self.terminate(Exit::ShutDownForced) {
            hcs_core::complain!("hcs-worker: ending what has not shut down: {error}");
            if let Some(ending) = &mut self.ending {
                ending.kill_at = Some(Instant::now() + AGAIN);
            }
        }
    }

    /// Readable when init is dead.
    pub fn init(&self) -> Option<BorrowedFd<'_>> {
        match self.phase {
            Phase::Exited(_) => None,
            _ => self.engine.as_ref().and_then(Engine::process),
        }
    }

    /// Whether processes can be started.
    pub fn runs(&self) -> Result<(), Error> {
        match self.phase == Phase::Running && self.ending.is_none() {
            true => Ok(()),
            false => Err(Cause::InvalidState.into()),
        }
    }

    /// Starts a process.
    pub fn start_process(&mut self, plan: &ProcessPlan) -> Result<Ends, Error> {
        self.runs()?;
        let mut started = self.engine()?.start_process(plan)?;
        let kept = plan.keep_output.map(|most| (most, [started.stdout.take(), started.stderr.take()]));
        let (tracked, ends) = track(started, plan)?;
        if let Some((most, pipes)) = kept
            && let Err(error) = self.kept.keep(ends.process_id, most, pipes)
        {
            // Its client is told that there is none.
            if let Some(pidfd) = &tracked.pidfd {
                process::end(pidfd.as_fd());
            }
            return Err(error);
        }
        self.processes.add(tracked);
        Ok(ends)
    }

    /// A process's descriptor says that it is dead: takes its exit.
    pub fn process_ended(&mut self, process_id: u32) -> Option<Notice> {
        let code = self.processes.try_wait(process_id)?;
        let out_of_memory = code == KILLED && self.memory.has_killed(self.engine.as_ref());
        let record = self.processes.ended(process_id, ProcessExit { code, out_of_memory })?;
        self.finish_if_empty();
        Some(Notice::ProcessExited(record))
    }

    /// In a shutdown init waits for its own children and is told when the worker's are gone.
    fn finish_if_empty(&mut self) {
        let shutting_down = self.ending.as_ref().is_some_and(|ending| ending.kill_at.is_some());
        if shutting_down && self.processes.living().next().is_none() {
            let _ = self.container().and_then(Container::finish);
        }
    }

    /// The descriptor of its process says that it is dead: the system has ended, and what is left of it goes.
    pub fn init_ended(&mut self) -> Result<Option<Notice>, Error> {
        let engine = self.engine.as_mut().ok_or(Cause::InvalidState)?;
        let Some(process) = engine.process() else { return Ok(None) };
        let Ok(Some(code)) = process::try_wait(process) else { return Ok(None) };
        let exit = match self.ending.take() {
            Some(ending) => ending.exit,
            // The counters must be read before the cgroup goes.
            None if engine.counters().is_ok_and(|counters| counters.out_of_memory_kills > 0) => {
                Exit::OutOfMemory
            }
            None => match engine.machine() {
                Some(machine) => machine.exit(code),
                None => Exit::InitDied { code },
            },
        };
        // The last words are said before the machine is forgotten.
        self.hear_consoles();
        self.kept.finish();
        let engine = self.engine.as_mut().ok_or(Cause::InvalidState)?;
        // It is reaped and cannot be waited for again, so the system ends here, whatever is left of it.
        if let Err(error) = engine.remove() {
            hcs_core::complain!("hcs-worker: cleaning up: {error}");
            self.has_left = true;
        }
        let exit = exit.after(self.device_hosts.end());
        self.phase = Phase::Exited(exit.clone());
        Ok(Some(Notice::SystemExited(exit)))
    }

    /// Whether it has ended and something of it is left.
    pub fn has_left(&self) -> bool {
        self.has_left
    }

    /// When it was started.
    pub fn started(&self) -> Option<(SystemTime, Instant)> {
        self.started
    }

    /// What it is, once it is there.
    pub fn engine(&self) -> Result<&Engine, Error> {
        self.engine.as_ref().ok_or_else(|| Cause::InvalidState.into())
    }

    fn engine_mut(&mut self) -> Result<&mut Engine, Error> {
        self.engine.as_mut().ok_or_else(|| Cause::InvalidState.into())
    }

    /// The container, if it is one.
    pub fn container(&self) -> Result<&Container, Error> {
        self.engine()?.container()
    }
}

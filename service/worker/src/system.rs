//! The worker's compute system: a container or a virtual machine, its processes, and how it ends.
//!
//! Nothing here waits. The loop in [`crate::worker`] polls [`System::init`] and the processes and calls
//! [`System::process_ended`] and [`System::init_ended`]; the end of the system is complete when
//! [`System::phase`] says `Exited`.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant, SystemTime},
};

use hcs_container::{
    Container, ProcessPlan,
    change::Change,
    console::{Console, Size},
    process,
};
use hcs_core::{Cause, Error, Exit};
use hcs_gcs::records::NULL_ID;
use hcs_ipc::worker::{Notice, Phase, ProcessExit, ProcessRecord};

use hcs_machine::{
    Change as MachineChange, Machine,
    machine::{Told, changes::Progress, saving::Template},
};

use crate::{
    device_hosts::Shared as DeviceHosts,
    engine::Engine,
    guest::Guest,
    kept::Kept,
    output::Output,
    relay::{Flow, Relay},
    tracked::{Ends, Tracked, track},
};

/// How many ended processes are remembered, so that a system that runs for years does not grow.
const REMEMBERED: usize = 4096;

/// The system of this worker.
pub struct System {
    phase: Phase,
    engine: Option<Engine>,
    processes: BTreeMap<u32, Tracked>,
    ended_in_order: std::collections::VecDeque<u32>,
    ending: Option<Ending>,
    started: Option<(SystemTime, Instant)>,
    memory: MemoryKills,
    /// The guest of a machine, if an agent speaks for it.
    guest: Option<Guest>,
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
            processes: BTreeMap::new(),
            ended_in_order: std::collections::VecDeque::new(),
            ending: None,
            started: None,
            memory: MemoryKills::default(),
            guest: None,
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
        let own = self.processes.values().map(|tracked| tracked.record.clone());
        own.chain(self.guest.iter().flat_map(|guest| guest.records(NULL_ID))).collect()
    }

    /// The guest of a machine, if an agent speaks for it.
    pub fn guest(&mut self) -> Option<&mut Guest> {
        self.guest.as_mut()
    }

    /// The same, only to be looked at.
    pub fn heard_guest(&self) -> Option<&Guest> {
        self.guest.as_ref()
    }

    /// Has the start under this number wait for the agent of a machine that has begun; says whether there is one.
    pub fn await_guest(&mut self, number: u64) -> Result<bool, Error> {
        let Ok(machine) = self.machine() else { return Ok(false) };
        let Some(port) = machine.take_guest() else { return Ok(false) };
        let guest = Guest::new(port, number, machine)?;
        self.guest = Some(guest);
        Ok(true)
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
        engine.start()?;
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

    /// Changes a machine. What waits for the guest is told under this number.
    pub fn change_machine(&mut self, change: &MachineChange, number: u64) -> Result<Progress, Error> {
        if self.ending.is_some() {
            return Err(Cause::InvalidState.into());
        }
        if self.phase == Phase::Paused && change.needs_guest() {
            return Err(Error::new(Cause::InvalidState, "the guest must do its part, and it is paused")
                .hint("Resume it first."));
        }
        self.machine()?.change(change, number)
    }

    /// Makes the guest of a machine crash.
    pub fn crash(&mut self) -> Result<(), Error> {
        if self.phase != Phase::Running || self.ending.is_some() {
            return Err(Cause::InvalidState.into());
        }
        self.machine()?.interrupt()
    }

    /// A picture of the screen of a machine.
    pub fn picture(&mut self) -> Result<OwnedFd, Error> {
        self.machine()?.picture()
    }

    /// Connects to a serial port of a machine that runs.
    pub fn serial_port(&mut self, number: u32) -> Result<OwnedFd, Error> {
        let is_there = matches!(self.phase, Phase::Running | Phase::Paused);
        if !is_there || self.ending.is_some() {
            return Err(Cause::InvalidState.into());
        }
        self.machine()?.open_serial_port(number)
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

    /// Keeps what the consoles of a machine have said since the last time.
    fn hear_consoles(&mut self) {
        let machine = self.engine.as_mut().and_then(Engine::machine);
        let said = machine.map(Machine::take_consoles).unwrap_or_default();
        if !said.is_empty() {
            self.kept.consoles_said(&said);
        }
    }

    /// A channel to who hosts devices for a machine: the application's end.
    pub fn host_devices(&mut self, is_restricted: bool) -> Result<OwnedFd, Error> {
        let is_there = matches!(self.phase, Phase::Created | Phase::Running | Phase::Paused);
        if !is_there || self.ending.is_some() {
            return Err(Cause::InvalidState.into());
        }
        self.machine()?;
        self.device_hosts.open(is_restricted)
    }

    /// Takes devices away from a machine whose applications are gone.
    pub fn give_up_devices(&mut self) {
        for instance in self.device_hosts.take_failed() {
            if self.machine().is_ok_and(|machine| !machine.give_up_hosted(instance)) {
                self.device_hosts.tell_again(instance);
            }
        }
    }

    /// An application that is devices of the machine has said something or has hung up.
    pub fn hear_device_host(&mut self, host: u64) {
        let ends = self.ending.is_some() || self.machine().is_ok_and(|machine| machine.is_ending());
        self.device_hosts.hear(host, ends);
    }

    /// Who is devices of a machine.
    pub fn device_hosts(&self) -> &DeviceHosts {
        &self.device_hosts
    }

    /// Saves a machine that is paused: to this file, or as a template.
    pub fn save(&mut self, path: Option<&str>) -> Result<(), Error> {
        if self.phase != Phase::Paused || self.ending.is_some() {
            return Err(Cause::InvalidState.into());
        }
        match path {
            Some(path) => self.machine()?.save(path),
            None => {
                self.machine()?.save_as_template()?;
                self.phase = Phase::Template;
                Ok(())
            }
        }
    }

    /// What a clone of this template needs.
    pub fn template(&mut self) -> Result<Template, Error> {
        if self.phase != Phase::Template || self.ending.is_some() {
            return Err(Cause::InvalidState.into());
        }
        self.machine()?.template()
    }

    /// The machine, if it is one.
    pub fn machine(&mut self) -> Result<&mut Machine, Error> {
        let is_none = || Error::new(Cause::NotSupported, "a container has no such thing");
        self.engine_mut()?.machine().ok_or_else(is_none)
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

    /// The living processes, to be polled.
    pub fn living(&self) -> impl Iterator<Item = (u32, BorrowedFd<'_>)> {
        self.processes.iter().filter_map(|(id, tracked)| Some((*id, tracked.pidfd.as_ref()?.as_fd())))
    }

    /// The relays, to be polled.
    pub fn relays(&self) -> impl Iterator<Item = (u32, &Relay)> {
        self.processes.iter().filter_map(|(id, tracked)| Some((*id, tracked.relay.as_ref()?)))
    }

    /// Moves input on.
    pub fn pump(&mut self, process_id: u32) {
        let Some(tracked) = self.processes.get_mut(&process_id) else { return };
        if tracked.relay.as_mut().is_some_and(|relay| relay.pump() == Flow::Ended) {
            tracked.relay = None;
        }
    }

    /// Closes a process's standard input.
    pub fn close_stdin(&mut self, process_id: u32) -> Result<(), Error> {
        let tracked = self.live(process_id)?;
        if let Some(shared) = &tracked.console {
            return shared.console.end_input();
        }
        // What the client wrote before is still delivered: the relay moves it before it goes.
        tracked.relay.take_if(|relay| relay.close() == Flow::Ended);
        Ok(())
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
        // An ended process of the same number makes room for this one.
        self.ended_in_order.retain(|id| *id != ends.process_id);
        self.processes.insert(ends.process_id, tracked);
        Ok(ends)
    }

    /// Fresh pipe ends of a living process.
    pub fn ends(&mut self, process_id: u32) -> Result<Ends, Error> {
        let tracked = self.live(process_id)?;
        if let Some(shared) = &tracked.console {
            return shared.ends(process_id);
        }
        Ok(Ends {
            process_id,
            stdin: tracked.relay.as_ref().map(Relay::client_end).transpose()?.flatten(),
            stdout: tracked.stdout.as_ref().map(Output::read_end).transpose()?,
            stderr: tracked.stderr.as_ref().map(Output::read_end).transpose()?,
        })
    }

    /// Changes the size of a process's console.
    pub fn resize(&mut self, process_id: u32, size: Size) -> Result<(), Error> {
        let shared = self.live(process_id)?.console.as_ref();
        let shared = shared.ok_or_else(no_console)?;
        shared.console.resize(size)
    }

    /// The consoles that nobody asked for an end of, to be polled.
    pub fn unread_consoles(&self) -> impl Iterator<Item = (u32, &Console)> {
        self.processes.iter().filter_map(|(id, tracked)| {
            let shared = tracked.console.as_ref().filter(|shared| shared.unread)?;
            Some((*id, &shared.console))
        })
    }

    /// Takes what was said on such a console.
    pub fn discard_output(&mut self, process_id: u32) {
        if let Some(shared) = self.processes.get_mut(&process_id).and_then(|tracked| tracked.console.as_mut())
        {
            // A console that nobody has open would be ready for ever.
            shared.unread = shared.console.discard();
        }
    }

    /// Sends a signal.
    pub fn signal(&mut self, process_id: u32, number: i32) -> Result<(), Error> {
        let tracked = self.live(process_id)?;
        let pidfd = tracked.pidfd.as_ref().ok_or(Cause::ProcessAlreadyStopped)?;
        process::signal(pidfd.as_fd(), number)
    }

    fn live(&mut self, process_id: u32) -> Result<&mut Tracked, Error> {
        match self.processes.get_mut(&process_id) {
            None => Err(Error::new(Cause::NotFound, format!("there is no process {process_id}"))),
            Some(tracked) if tracked.pidfd.is_none() => Err(Cause::ProcessAlreadyStopped.into()),
            Some(tracked) => Ok(tracked),
        }
    }

    /// A process's descriptor says that it is dead: takes its exit.
    pub fn process_ended(&mut self, process_id: u32) -> Option<Notice> {
        let tracked = self.processes.get_mut(&process_id)?;
        let code = process::try_wait(tracked.pidfd.as_ref()?.as_fd()).ok()??;
        let out_of_memory = code == KILLED && self.memory.has_killed(self.engine.as_ref());
        let tracked = self.processes.get_mut(&process_id)?;
        tracked.pidfd = None;
        tracked.relay = None;
        tracked.stdout = None;
        tracked.stderr = None;
        tracked.console = None;
        tracked.record.exit = Some(ProcessExit { code, out_of_memory });
        let notice = Notice::ProcessExited(tracked.record.clone());
        self.ended_in_order.push_back(process_id);
        if self.ended_in_order.len() > REMEMBERED
            && let Some(oldest) = self.ended_in_order.pop_front()
        {
            self.processes.remove(&oldest);
        }
        self.finish_if_empty();
        Some(notice)
    }

    /// In a shutdown init waits for its own children and is told when the worker's are gone.
    fn finish_if_empty(&mut self) {
        let shutting_down = self.ending.as_ref().is_some_and(|ending| ending.kill_at.is_some());
        if shutting_down && self.living().next().is_none() {
            let _ = self.container().and_then(Container::finish);
        }
    }

    /// Where a machine tells something, to be polled.
    pub fn monitors(&self) -> Vec<BorrowedFd<'_>> {
        self.heard().map(Machine::readable).unwrap_or_default()
    }

    /// When a machine is to be heard though it tells nothing.
    pub fn hears_at(&self) -> Option<Instant> {
        self.heard().and_then(Machine::deadline)
    }

    /// A machine that has begun and has not ended.
    fn heard(&self) -> Option<&Machine> {
        match (&self.phase, &self.engine) {
            (Phase::Running | Phase::Paused | Phase::Template, Some(Engine::Machine(machine))) => {
                Some(machine)
            }
            _ => None,
        }
    }

    /// What a machine tells.
    pub fn hear(&mut self) -> Vec<Told> {
        let told = self.engine.as_mut().and_then(Engine::machine).map(Machine::hear).unwrap_or_default();
        self.hear_consoles();
        told
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

/// The size of what is not there cannot be changed.
pub fn no_console() -> Error {
    Error::new(Cause::NotSupported, "the process has no console")
        .at("$.ConsoleSize")
        .hint("Create the process with EmulateConsole.")
}

//! One virtual machine, from its plan to its end. The worker holds exactly one, and calls it; each file below this one is what
//! can be done with it, or what it tells. Nothing here waits for the guest: QEMU is asked with a limit, and what the guest has to
//! do is told later by [`Machine::hear`].

pub mod changes;
mod crash;
mod hosted_devices;
mod hotplug;
mod mapping;
mod memory;
mod placement;
mod reason;
pub mod saving;
mod screen;
mod serial;
mod sets;
mod sharing;
mod start;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use hcs_container::{
    cgroup::{Cgroup, Counters, Layout},
    process,
};
use hcs_core::{Cause, Error, Exit};
use hcs_schema::CrashReport;
use rustix::process::Signal;
use serde_json::{Value, json};

use self::{changes::Wait, crash::Crash, reason::Reason, screen::Viewers};
use crate::{
    device_hosts::DeviceHosts, devices, host_socket, links::Speaker, memory::Memory, persistent::Persistent,
    plan::Plan, qmp::Qmp, remembered::Remembered, shares::Server, sockets::Sockets, tail::Tail, tpm::Tpm,
};

/// A machine that exists. It does not end by being dropped: [`Machine::kill`] and then [`Machine::remove`] end it.
pub struct Machine {
    plan: Plan,
    cgroup: Cgroup,
    running: Option<Running>,
    /// Changes that wait for the guest.
    waits: Vec<Wait>,
    /// What QEMU has said of the end that comes.
    reason: Option<Reason>,
    /// A client has asked it to end.
    is_asked_to_end: bool,
    /// A crash that is being dealt with.
    crash: Option<Crash>,
    /// What has come beside the plan.
    given: Vec<OwnedFd>,
    /// Codes that a guest has told when it crashed.
    parameters: Vec<u64>,
    /// Who is devices of it.
    hosts: Box<dyn DeviceHosts>,
    /// Its processors have been stopped by a client.
    is_frozen: bool,
}

struct Running {
    pidfd: OwnedFd,
    qmp: Qmp,
    /// Who speaks for the guest in networks.
    speakers: Vec<Speaker>,
    /// Who serves folders of the host.
    server: Option<Server>,
    /// Who serves them at ports.
    ports: sharing::Ports,
    /// Who carries its sockets.
    sockets: Option<Sockets>,
    /// The trusted platform module.
    tpm: Option<Tpm>,
    /// What it and the firmware remember.
    remembered: Option<Remembered>,
    /// The set of descriptors behind each disk.
    sets: BTreeMap<String, i64>,
    /// What is behind each device of persistent memory.
    persistent: BTreeMap<u32, Persistent>,
    /// The set of descriptors at which the consoles of the guest are heard.
    log: i64,
    sizes: memory::Sizes,
    /// The memory itself.
    memory: Memory,
    /// The state of the devices, from when it was saved until it goes on.
    state: Option<File>,
    /// Its QEMU, major and minor.
    version: [u64; 2],
    /// Applications have had its memory, and may have it still.
    has_shown_memory: bool,
    /// Places at which QEMU may still make a device of an application that was given up.
    doubtful: BTreeSet<u32>,
    /// Where the agent in the guest is spoken to, until it is given away.
    guest: Option<OwnedFd>,
    /// Those who want to look at the screen.
    viewers: Option<Viewers>,
    /// It has hung up, or cannot be understood, and was killed.
    is_lost: bool,
}

/// What a machine has to tell.
#[derive(Debug)]
pub enum Told {
    /// A change has come to its end.
    Settled(u64, Result<(), Error>),
    /// The guest has crashed.
    Crash {
        /// Whether everything is done about it.
        is_complete: bool,
        /// What is known of it.
        report: CrashReport,
    },
}

impl Machine {
    /// Makes what must exist before the start. A clone gets what it needs of its template; applications that are devices are
    /// asked by way of `hosts`.
    pub fn create(plan: Plan, given: Vec<OwnedFd>, hosts: Box<dyn DeviceHosts>) -> Result<Machine, Error> {
        /// The only device that is opened by path.
        const KVM: &str = "c 10:232 rw";
        let devices = if plan.host.kvm { vec![KVM.to_owned()] } else { Vec::new() };
        let layout = Layout::of_this_host()?;
        let limits = plan.processors.limits();
        let cgroup = Cgroup::create(layout, &plan.cgroup_parent, &plan.runtime_id, &limits, &devices)?;
        Ok(Machine {
            plan,
            cgroup,
            running: None,
            waits: Vec::new(),
            reason: None,
            is_asked_to_end: false,
            crash: None,
            given,
            parameters: Vec::new(),
            hosts,
            is_frozen: false,
        })
    }

    fn running(&mut self) -> Result<&mut Running, Error> {
        self.running.as_mut().ok_or_else(|| Cause::InvalidState.into())
    }

    /// Stops the processors of the machine, or lets them go on.
    pub fn freeze(&mut self, frozen: bool) -> Result<(), Error> {
        self.running()?;
        if !frozen {
            self.start_hosted()?;
        }
        let running = self.running()?;
        let asked = running.qmp.run(if frozen { "stop" } else { "cont" }, Value::Null);
        if asked.is_ok() {
            // What was saved is another moment's.
            running.state = None;
            self.is_frozen = frozen;
        }
        if self.is_frozen {
            self.stop_hosted();
        }
        asked.map(|_| ())
    }

    /// The folder of the sockets at which the agent in the guest calls, if it does. Somebody must listen there before the start.
    pub fn guest_sockets(&self) -> Option<&str> {
        self.plan.guest_by_sockets.then_some(self.plan.host.sockets.as_str())
    }

    /// Where the agent in the guest is spoken to, if it has a port. Whoever takes it has it.
    pub fn take_guest(&mut self) -> Option<OwnedFd> {
        self.running.as_mut()?.guest.take()
    }

    /// What its agent is to be told of it: its name, its GUID, and whether it is another than its memory knows.
    pub fn identity(&self) -> (&str, &str, bool) {
        (&self.plan.name, &self.plan.runtime_id, self.plan.is_clone())
    }

    /// How long its start waits for the agent.
    pub fn guest_patience(&self) -> Duration {
        Duration::from_secs(u64::from(self.plan.host.guest_patience))
    }

    /// It has ended and QEMU not yet, or it was asked to end.
    pub fn is_ending(&self) -> bool {
        self.reason.is_some() || self.is_asked_to_end
    }

    /// The agent is asked to end the machine.
    pub fn is_told_to_end(&mut self) {
        self.is_asked_to_end = true;
    }

    /// Presses the power button. A guest takes its time, and what it is about to save is worth more than that.
    pub fn ask_to_end(&mut self) -> Result<(), Error> {
        self.running()?.qmp.run("system_powerdown", Value::Null)?;
        self.is_asked_to_end = true;
        Ok(())
    }

    /// Interrupts the guest in a way that it cannot mask: one that is made to crashes of that.
    pub fn interrupt(&mut self) -> Result<(), Error> {
        self.running()?.qmp.run("inject-nmi", Value::Null).map(|_| ())
    }

    /// Readable when QEMU has said something that [`Machine::hear`] takes.
    pub fn readable(&self) -> Vec<BorrowedFd<'_>> {
        let Some(Running { qmp, viewers, is_lost, .. }) = &self.running else { return Vec::new() };
        let asked = (!is_lost).then(|| qmp.readable());
        let viewers = viewers.iter().filter_map(Viewers::readable);
        qmp.ears.readable().chain(asked).chain(viewers).collect()
    }

    /// When [`Machine::hear`] has something to do though nothing is readable.
    pub fn deadline(&self) -> Option<Instant> {
        let running = self.running.as_ref()?;
        let waits = self.waits.iter().map(|wait| wait.until);
        let untold = running.qmp.has_untold().then(Instant::now);
        untold
            .into_iter()
            .chain(waits)
            .chain(running.qmp.ears.pause_ends())
            .chain(running.sizes.stuck_at())
            .chain(running.viewers.as_ref().and_then(Viewers::pause_ends))
            .min()
    }

    /// Takes what QEMU has said.
    pub fn hear(&mut self) -> Vec<Told> {
        let Some(running) = &mut self.running else { return Vec::new() };
        running.qmp.ears.take();
        running.let_viewers_in();
        let (events, more) = running.qmp.events();
        for event in &events {
            self.reason = reason::of(event, &mut running.qmp.ears.errors).or(self.reason);
        }
        if let Err(why) = more
            && !std::mem::replace(&mut running.is_lost, true)
        {
            // Nobody can do anything with it any more. One that ends by itself has closed its disks before it hangs up.
            if let Some(error) = why {
                hcs_core::complain!("hcs-worker: {error}");
            }
            let _ = process::signal(running.pidfd.as_fd(), Signal::KILL.as_raw());
        }
        let mut told = Vec::new();
        for event in &events {
            self.note(event);
            told.extend(self.note_crash(event));
        }
        told.extend(self.settled());
        told
    }

    /// What the consoles have said since this was asked last.
    pub fn take_consoles(&mut self) -> Vec<u8> {
        let Some(running) = &mut self.running else { return Vec::new() };
        running.qmp.ears.consoles.take_fresh()
    }

    /// Stands for QEMU; readable when it is dead.
    pub fn process(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|running| running.pidfd.as_fd())
    }

    /// How a machine ended whose QEMU has this exit code, and nobody of ours has ended it.
    pub fn exit(&mut self, code: u32) -> Exit {
        // The last that it said may not have been looked at yet.
        self.hear();
        match self.reason {
            Some(Reason::PowerOff) if self.is_asked_to_end => Exit::ShutDownByClient,
            Some(Reason::PowerOff) => Exit::ShutDownByGuest,
            Some(Reason::Reset) => Exit::StoppedOnReset,
            Some(Reason::TripleFault) => Exit::TripleFault,
            Some(Reason::Panic) => Exit::GuestCrashed { parameters: self.parameters.clone() },
            None => {
                let words = self.running.as_mut().map(|running| last_words(&mut running.qmp.ears.errors));
                hcs_core::complain!("hcs-worker: QEMU has ended ({code}): {}", words.unwrap_or_default());
                Exit::WorkerDied { code: Some(code) }
            }
        }
    }

    /// Kills QEMU. Its death is seen by its descriptor.
    pub fn kill(&self) -> Result<(), Error> {
        match self.process().map(|process| process::signal(process, Signal::KILL.as_raw())) {
            Some(Err(error)) if error.cause != Cause::ProcessAlreadyStopped => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what is left when QEMU is dead.
    pub fn remove(&mut self) -> Result<(), Error> {
        host_socket::remove(self.plan.sockets());
        if let Some(dump) = &self.plan.dump {
            dump.remove_partial();
        }
        // Its memory and the ends of its conversations go too: a worker may wait long for a service that wants to know the end.
        if let Some(mut running) = self.running.take() {
            // A guest that has ended by itself may have said something just before.
            let sockets = running.sockets.take().filter(|_| self.reason.is_some());
            sockets.into_iter().for_each(Sockets::finish);
            // What it remembers is complete when it has ended.
            running.tpm = None;
            if let Some(Err(error)) = running.remembered.as_mut().map(Remembered::keep) {
                hcs_core::complain!("hcs-worker: the guest state file: {error}");
            }
        }
        self.cgroup.remove()
    }

    /// Reads the counters.
    pub fn counters(&self) -> Result<Counters, Error> {
        self.cgroup.counters()
    }

    /// The memory that the guest sees, in MiB.
    pub fn memory_mib(&self) -> u64 {
        self.running.as_ref().map_or(self.plan.memory.mib, |running| running.sizes.seen_mib())
    }
}

impl Running {
    fn connect(&mut self, slot: u32, connected: bool) -> Result<(), Error> {
        let arguments = json!({"name": devices::adapter_id(slot), "up": connected});
        self.qmp.run("set_link", arguments).map(|_| ())
    }
}

/// What QEMU said to people, as far as it is meant for them.
fn last_words(said: &mut Tail) -> String {
    let text = said.text();
    text.lines()
        .filter(|line| line.contains(": ") && !line.contains(" is deprecated"))
        .collect::<Vec<_>>()
        .join("; ")
}

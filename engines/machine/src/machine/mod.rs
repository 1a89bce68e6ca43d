//! One virtual machine, from its plan to its end. The worker holds exactly one.

pub mod changes;
mod crash;
mod hosting;
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

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hcs_container::{
    cgroup::{Cgroup, Counters, Layout},
    host_process::{self, Program},
    host_view::View,
    process,
};
use hcs_core::{Cause, Error, Exit};
use hcs_schema::CrashReport;
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
    process::Signal,
    thread::CapabilitySet,
};
use serde_json::{Value, json};

use self::{changes::Wait, crash::Crash, reason::Reason, screen::Viewers};
use crate::{
    command, devices,
    files::{self, Conversations, Files, Persistent},
    hosts::DeviceHosts,
    links::{self, Speaker},
    memory::Memory,
    plan::Plan,
    prefix,
    qmp::Qmp,
    remembered::Remembered,
    shares::Server,
    sockets::Sockets,
    tail::{Ears, Tail},
    tpm::{self, Tpm},
};

/// The oldest QEMU that can do what is asked of it.
const OLDEST: u64 = 9;

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
    /// Who carries its sockets. It ends by being dropped.
    _sockets: Option<Sockets>,
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

    /// Starts QEMU and lets the guest run.
    pub fn start(&mut self) -> Result<(), Error> {
        let (mut sockets, mut speakers) = (Vec::new(), Vec::new());
        for adapter in &self.plan.adapters {
            let (socket, speaker) = links::open(adapter, &self.plan.host, &self.cgroup)?;
            sockets.push(socket);
            speakers.extend(speaker);
        }
        let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), "starting QEMU");
        let ((errors, say), (consoles, log)) = (Tail::new().map_err(failed)?, Tail::heard().map_err(failed)?);
        let host = &self.plan.host;
        let firmware = files::firmware(&self.plan)?;
        let variables = firmware.as_ref().map(|[_, variables]| variables.try_clone()).transpose();
        let variables =
            variables.map_err(|error| Error::from_io(&error, "holding the firmware's variables"))?;
        let module = self.plan.tpm.then(|| tpm::memory(host)).transpose()?;
        let remembered = Remembered::begin(self.plan.guest_state.as_ref(), host, variables, module)?;
        let module =
            remembered.tpm.as_ref().map(|memory| tpm::start(host, &self.cgroup, memory)).transpose()?;
        let (socket, tpm) = module.unzip();
        let (memory, state) = self.beginning()?;
        let (ours, theirs) = self.plan.guest.then(conversation).transpose().map_err(failed)?.unzip();
        let (folders, server) = self.serve_folders()?.unzip();
        let (carried, carrier) = self.carry_sockets()?.unzip();
        let conversations = Conversations {
            adapters: sockets,
            tpm: socket,
            folders,
            sockets: carried,
            guest: theirs,
            log,
            memory,
            firmware,
        };
        let mut files = Files::open(&self.plan, conversations)?;
        let viewers = files.viewers().map(Viewers::new);
        let spawned = self.spawn(&files, Ears { errors, consoles }, say);
        let started = spawned.and_then(|mut running| {
            let remembered = Some(remembered);
            running = Running {
                viewers,
                guest: ours,
                server,
                _sockets: carrier,
                speakers,
                tpm,
                remembered,
                ..running
            };
            match running.begin(&self.plan, state.as_ref(), &mut *self.hosts) {
                Ok(()) => Ok(running),
                Err(mut error) => {
                    for device in &self.plan.hosted {
                        self.hosts.remove(device.instance);
                    }
                    process::end(running.pidfd.as_fd());
                    let words = last_words(&mut running.qmp.ears.errors);
                    if !words.is_empty() {
                        error.detail += &format!("; QEMU said: {words}");
                    }
                    Err(error)
                }
            }
        });
        match started {
            Ok(running) => {
                self.running = Some(running);
                if self.plan.is_clone() {
                    self.replace_adapters().inspect_err(|_| self.undo_start())?;
                }
                Ok(())
            }
            Err(error) => {
                self.undo_start();
                Err(error)
            }
        }
    }

    /// What has not started has nothing that runs, and no sockets.
    fn undo_start(&mut self) {
        if let Some(running) = self.running.take() {
            process::end(running.pidfd.as_fd());
        }
        self.waits.clear();
        files::remove_sockets(self.plan.sockets());
    }

    /// Who carries its sockets, and what QEMU speaks to it by.
    fn carry_sockets(&self) -> Result<Option<(OwnedFd, Sockets)>, Error> {
        if !self.plan.has_sockets {
            return Ok(None);
        }
        Sockets::start(&self.plan.host, &self.cgroup, &self.plan.host.sockets).map(Some)
    }

    /// Who serves the folders that the machine begins with, and what QEMU speaks to it by.
    fn serve_folders(&self) -> Result<Option<(OwnedFd, Server)>, Error> {
        let Some(shares) = self.plan.shares.as_ref().filter(|shares| !shares.is_empty()) else {
            return Ok(None);
        };
        if self.plan.restore.is_some() {
            return Err(Error::new(
                Cause::NotSupported,
                "a machine that goes on has no shares when it begins",
            )
            .at("$.VirtualMachine.Devices.Plan9.Shares")
            .hint("Add them when it has started."));
        }
        let (socket, mut server) = Server::start(&self.plan.host, &self.cgroup)?;
        shares.iter().try_for_each(|share| server.add(share))?;
        Ok(Some((socket, server)))
    }

    fn spawn(&self, files: &Files, ears: Ears, say: OwnedFd) -> Result<Running, Error> {
        let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), "starting QEMU");
        let (ours, theirs) = conversation().map_err(failed)?;
        let path = PathBuf::from(&self.plan.host.qemu);
        let mut arguments = vec!["qemu".to_owned()];
        // Firmware that lies beside a QEMU is its own; by itself it looks where it was built for.
        for folder in ["share/qemu", "share/seabios"].map(|name| prefix(&path).join(name)) {
            if folder.is_dir() {
                arguments.extend(["-L".to_owned(), folder.display().to_string()]);
            }
        }
        let (numbers, memory) = (files.numbers(), files.memory()?);
        arguments.extend(command::arguments(&self.plan, &numbers));
        let view = View::open(&[prefix(&path).to_owned()])?.with_open_folder(hosting::PLACE)?;
        let pidfd = host_process::start(
            &Program {
                path: &path,
                arguments: &arguments,
                environment: &environment(&path),
                stdin: theirs.as_fd(),
                stderr: say.as_fd(),
                keep: &files.descriptors(),
                user: self.plan.host.user,
                capabilities: CapabilitySet::empty(),
                groups: &[self.plan.host.group],
                view: Some(&view),
            },
            &self.cgroup,
        )?;
        drop((theirs, say));
        let mut sets = BTreeMap::new();
        for (index, (controller, media)) in self.plan.controllers.iter().zip(&numbers.disks).enumerate() {
            for (disk, medium) in controller.disks.iter().zip(media) {
                sets.insert(devices::disk_id(index, disk.lun), i64::from(medium.file));
            }
        }
        let numbered =
            self.plan.persistent.iter().flat_map(|memory| &memory.devices).map(|device| device.number);
        let persistent = numbered.zip(files.persistent()?).collect();
        let sizes = memory::Sizes::new(&self.plan.memory, self.plan.restore.is_some());
        let log = i64::from(numbers.log);
        let mut running = Running {
            pidfd,
            qmp: Qmp::new(ours, ears),
            speakers: Vec::new(),
            server: None,
            _sockets: None,
            tpm: None,
            remembered: None,
            sets,
            persistent,
            log,
            sizes,
            memory,
            state: None,
            version: [0; 2],
            has_shown_memory: false,
            doubtful: BTreeSet::new(),
            guest: None,
            viewers: None,
            is_lost: false,
        };
        match running.qmp.begin() {
            Ok(version) => {
                running.version = ["major", "minor"].map(|part| version[part].as_u64().unwrap_or(0));
                let [major, minor] = running.version;
                if major >= OLDEST {
                    return Ok(running);
                }
                process::end(running.pidfd.as_fd());
                let detail = format!("found QEMU {major}.{minor}, expected {OLDEST}.0 or newer");
                Err(Error::new(Cause::NotSupported, detail)
                    .hint("Install a newer one, or say where it is: hcsd --qemu."))
            }
            Err(error) => {
                let code = process::end(running.pidfd.as_fd()).unwrap_or_default();
                let words = last_words(&mut running.qmp.ears.errors);
                Err(error.unwrap_or_else(|| {
                    Error::new(Cause::Unexpected, format!("QEMU has ended at once ({code}): {words}"))
                }))
            }
        }
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

    /// Where the agent in the guest is spoken to, if there is one. Whoever takes it has it.
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
        files::remove_sockets(self.plan.sockets());
        if let Some(dump) = &self.plan.dump {
            dump.remove_partial();
        }
        // Its memory and the ends of its conversations go too: a worker may wait long for a service that wants to know the end.
        if let Some(mut running) = self.running.take() {
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
    /// What is done before the guest runs.
    fn begin(&mut self, plan: &Plan, state: Option<&File>, hosts: &mut dyn DeviceHosts) -> Result<(), Error> {
        self.prepare_to_move()?;
        if let Some(state) = state {
            self.take_over(state)?;
        }
        for adapter in plan.adapters.iter().filter(|adapter| plan.is_clone() || !adapter.connected) {
            self.connect(adapter.slot, false)?;
        }
        self.sizes.want(&mut self.qmp, plan.memory.mib)?;
        if let Some(processors) = &plan.processors.of_host {
            self.run_on(Some(processors))?;
        }
        self.begin_hosted(plan, hosts)?;
        self.qmp.run("cont", Value::Null).map(|_| ())
    }

    fn connect(&mut self, slot: u32, connected: bool) -> Result<(), Error> {
        let arguments = json!({"name": devices::adapter_id(slot), "up": connected});
        self.qmp.run("set_link", arguments).map(|_| ())
    }
}

/// Two ends, one for us and one for QEMU.
fn conversation() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

/// Modules that lie beside a QEMU of a prefix are its own.
fn environment(qemu: &Path) -> Vec<String> {
    let modules = prefix(qemu).join(format!("lib/{}-linux-gnu/qemu", std::env::consts::ARCH));
    match modules.is_dir() {
        true => vec![format!("QEMU_MODULE_DIR={}", modules.display())],
        false => Vec::new(),
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

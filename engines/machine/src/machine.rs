//! One virtual machine, from its plan to its end. The worker holds exactly one.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use hcs_container::{
    cgroup::{Cgroup, Counters, Layout},
    host_process::{self, Program},
    process,
};
use hcs_core::{Cause, Error, Exit};
use rustix::{
    fs::OFlags,
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
    pipe::PipeFlags,
    process::Signal,
};
use serde_json::Value;

use crate::{
    command,
    files::{self, Files},
    plan::Plan,
    qmp::{Event, Qmp},
};

/// The oldest QEMU that can do what is asked of it.
const OLDEST: u64 = 9;

/// A machine that exists. It does not end by being dropped: [`Machine::kill`] and then [`Machine::remove`] end it.
pub struct Machine {
    plan: Plan,
    cgroup: Cgroup,
    running: Option<Running>,
    /// What QEMU has said of the end that comes.
    reason: Option<Reason>,
}

struct Running {
    pidfd: OwnedFd,
    qmp: Qmp,
    /// What QEMU says to people.
    said: File,
}

/// Why a machine ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// The guest has switched it off.
    PowerOff,
    /// The guest has reset it.
    Reset,
    /// The guest has said that it cannot go on.
    Panic,
}

impl Machine {
    /// Makes what must exist before the start.
    pub fn create(plan: Plan) -> Result<Machine, Error> {
        /// The only device that is opened by path.
        const KVM: &str = "c 10:232 rw";
        let devices = if plan.host.kvm { vec![KVM.to_owned()] } else { Vec::new() };
        let layout = Layout::of_this_host()?;
        let cgroup = Cgroup::create(layout, &plan.cgroup_parent, &plan.runtime_id, &plan.limits, &devices)?;
        Ok(Machine { plan, cgroup, running: None, reason: None })
    }

    /// Starts QEMU and lets the guest run.
    pub fn start(&mut self) -> Result<(), Error> {
        let files = Files::open(&self.plan)?;
        let started = self.spawn(&files).and_then(|mut running| match running.begin() {
            Ok(()) => Ok(running),
            Err(error) => {
                end(running.pidfd.as_fd());
                Err(error)
            }
        });
        match started {
            Ok(running) => {
                self.running = Some(running);
                Ok(())
            }
            Err(error) => {
                files::remove_sockets(self.plan.sockets());
                Err(error)
            }
        }
    }

    fn spawn(&self, files: &Files) -> Result<Running, Error> {
        let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), "starting QEMU");
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .map_err(failed)?;
        let (said, say) =
            rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(failed)?;
        let path = PathBuf::from(&self.plan.host.qemu);
        let mut arguments = vec!["qemu".to_owned()];
        // Firmware that lies beside a QEMU is its own; by itself it looks where it was built for.
        for folder in ["share/qemu", "share/seabios"].map(|name| prefix(&path).join(name)) {
            if folder.is_dir() {
                arguments.extend(["-L".to_owned(), folder.display().to_string()]);
            }
        }
        arguments.extend(command::arguments(&self.plan, &files.numbers()));
        let pidfd = host_process::start(
            &Program {
                path: &path,
                arguments: &arguments,
                environment: &environment(&path),
                stdin: theirs.as_fd(),
                stderr: say.as_fd(),
                keep: &files.descriptors(),
                user: self.plan.host.user,
                groups: &[self.plan.host.group],
            },
            &self.cgroup,
        )?;
        drop((theirs, say));
        let mut said = File::from(said);
        match Qmp::begin(ours) {
            Ok((qmp, version)) => {
                let running = Running { pidfd, qmp, said };
                if version["major"].as_u64().is_none_or(|major| major < OLDEST) {
                    end(running.pidfd.as_fd());
                    let found = format!("{}.{}", version["major"], version["minor"]);
                    return Err(Error::new(
                        Cause::NotSupported,
                        format!("found QEMU {found}, expected {OLDEST}.0 or newer"),
                    )
                    .hint("Install a newer one, or say where it is: hcsd --qemu."));
                }
                Ok(running)
            }
            Err(error) => {
                let code = end(pidfd.as_fd());
                let words = last_words(&mut said);
                Err(error.unwrap_or_else(|| {
                    Error::new(
                        Cause::Unexpected,
                        format!("QEMU has ended at once ({}): {words}", code.unwrap_or_default()),
                    )
                }))
            }
        }
    }

    fn running(&mut self) -> Result<&mut Running, Error> {
        self.running.as_mut().ok_or_else(|| Cause::InvalidState.into())
    }

    /// Stops the processors of the machine, or lets them go on.
    pub fn freeze(&mut self, frozen: bool) -> Result<(), Error> {
        self.running()?.qmp.run(if frozen { "stop" } else { "cont" }, Value::Null).map(|_| ())
    }

    /// Presses the power button.
    pub fn ask_to_end(&mut self) -> Result<(), Error> {
        self.running()?.qmp.run("system_powerdown", Value::Null).map(|_| ())
    }

    /// Readable when QEMU has said something that [`Machine::hear`] takes.
    pub fn readable(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|running| running.qmp.readable())
    }

    /// Takes what QEMU has said. True if the guest has crashed, and the machine is to be ended.
    pub fn hear(&mut self) -> bool {
        let Some(running) = &mut self.running else { return false };
        let Some(events) = running.qmp.events() else { return false };
        for event in &events {
            self.reason = reason(event).or(self.reason);
        }
        self.reason == Some(Reason::Panic)
    }

    /// Stands for QEMU; readable when it is dead.
    pub fn process(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|running| running.pidfd.as_fd())
    }

    /// How a machine ended whose QEMU has this exit code, and nobody of ours has ended it.
    pub fn exit(&mut self, code: u32) -> Exit {
        // The last that it said may not have been looked at yet.
        self.hear();
        if let Some(running) = &mut self.running {
            let words = last_words(&mut running.said);
            if !words.is_empty() {
                eprintln!("hcs-worker: QEMU: {words}");
            }
        }
        match self.reason {
            Some(Reason::PowerOff) => Exit::ShutDownByGuest,
            Some(Reason::Reset) => Exit::StoppedOnReset,
            Some(Reason::Panic) => Exit::GuestCrashed { parameters: Vec::new() },
            None => Exit::WorkerDied { code: Some(code) },
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
    pub fn remove(&self) -> Result<(), Error> {
        files::remove_sockets(self.plan.sockets());
        self.cgroup.remove()
    }

    /// Reads the counters.
    pub fn counters(&self) -> Result<Counters, Error> {
        self.cgroup.counters()
    }

    /// The memory that the guest sees, in MiB.
    pub fn memory_mib(&self) -> u64 {
        self.plan.memory_mib
    }
}

impl Running {
    fn begin(&mut self) -> Result<(), Error> {
        self.qmp.run("cont", Value::Null).map(|_| ())
    }
}

/// Kills a QEMU that is of no use, and waits for its death; its exit code.
fn end(pidfd: BorrowedFd<'_>) -> Option<u32> {
    // Who is dead already is only waited for.
    let _ = process::signal(pidfd, Signal::KILL.as_raw());
    process::wait(pidfd).ok().flatten()
}

fn reason(event: &Event) -> Option<Reason> {
    match (event.name.as_str(), event.data["reason"].as_str()) {
        ("GUEST_PANICKED", _) => Some(Reason::Panic),
        ("SHUTDOWN", Some("guest-shutdown")) => Some(Reason::PowerOff),
        ("SHUTDOWN", Some("guest-reset")) => Some(Reason::Reset),
        ("SHUTDOWN", Some("guest-panic")) => Some(Reason::Panic),
        _ => None,
    }
}

/// Above the folder of programs that it is in.
fn prefix(qemu: &Path) -> &Path {
    qemu.parent().and_then(Path::parent).unwrap_or(Path::new("/"))
}

/// Modules that lie beside a QEMU of a prefix are its own.
fn environment(qemu: &Path) -> Vec<String> {
    let modules = prefix(qemu).join(format!("lib/{}-linux-gnu/qemu", std::env::consts::ARCH));
    match modules.is_dir() {
        true => vec![format!("QEMU_MODULE_DIR={}", modules.display())],
        false => Vec::new(),
    }
}

/// What QEMU said to people, as far as it is there.
fn last_words(said: &mut File) -> String {
    let mut bytes = Vec::new();
    let _ = rustix::fs::fcntl_setfl(&*said, OFlags::NONBLOCK);
    let _ = said.take(4096).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).trim().replace('\n', "; ")
}

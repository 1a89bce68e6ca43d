//! `hcs console`

use std::{os::fd::OwnedFd, process::ExitCode, sync::Arc, thread};

use hcs::{
    Process, System,
    schema::{SystemPropertyQuery, SystemPropertyType},
};
use rustix::{
    event::{EventfdFlags, eventfd},
    net::{AddressFamily, SocketAddrUnix, SocketType},
    termios::isatty,
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH},
    iterator::Signals,
};

use super::Target;
use crate::{Context, detachable, failure::Failure, output, target, terminal};

/// Attach the terminal to a serial port of a virtual machine, or to the console of a process.
///
/// Ctrl-] detaches; whatever is at the other end goes on. A serial port, and a console, is attached to by one at a time. What was
/// said before is shown by `hcs logs`.
#[derive(clap::Args)]
pub struct Console {
    /// The serial port of a virtual machine: COM1 or COM2 [default: 1].
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u32).range(1..=2), conflicts_with = "process")]
    port: Option<u32>,
    /// The process that has the console [default in a container: the first that has one].
    #[arg(short, long, value_name = "PID")]
    process: Option<u32>,
    #[command(flatten)]
    target: Target,
}

/// What is attached to.
struct Attached {
    name: String,
    /// What is typed goes here.
    to: OwnedFd,
    /// What is said comes from here.
    from: OwnedFd,
    /// Who has a size.
    process: Option<Process>,
    /// Tells other commands that this one is attached.
    _alone: Option<OwnedFd>,
}

impl Console {
    pub fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let system = self.target.open(context)?;
        system.link().attend();
        let is_machine = target::is_machine(&system)?;
        let attached = match self.process {
            None if is_machine => serial_port(&system, self.port.unwrap_or(1))?,
            None if self.port.is_some() => {
                return Err(Failure::new("a container has no serial ports; leave out --port"));
            }
            process => console(&system, process)?,
        };
        attached.serve()
    }
}

fn serial_port(system: &System, port: u32) -> Result<Attached, Failure> {
    let to = system.open_serial_port(port - 1).wait()?;
    let from = to.try_clone().map_err(|error| Failure::io(&error, "attaching to the serial port"))?;
    let name = format!("the serial port {port} of {}", system.id());
    Ok(Attached { name, to, from, process: None, _alone: None })
}

fn console(system: &System, process_id: Option<u32>) -> Result<Attached, Failure> {
    let (process, to, from) = match process_id {
        Some(process_id) => {
            let process = system.open_process(process_id).wait()?;
            let (to, from) = ends(&process)?.ok_or_else(|| {
                let what =
                    format!("process {process_id} has no console, or nobody asked for its input and output");
                Failure::new(format!(
                    "{what}; it is created with EmulateConsole, CreateStdInPipe and CreateStdOutPipe"
                ))
            })?;
            (process, to, from)
        }
        None => first_with_console(system)?,
    };
    let alone = claim(system, process.id())?;
    let name = format!("the console of process {} in {}", process.id(), system.id());
    Ok(Attached { name, to, from, process: Some(process), _alone: Some(alone) })
}

/// The two ends of the console of a process, if it has one of both.
fn ends(process: &Process) -> Result<Option<(OwnedFd, OwnedFd)>, Failure> {
    let pipes = process.pipes_again().wait()?;
    Ok(pipes.stdin.zip(pipes.stdout).filter(|_| pipes.stderr.is_none()))
}

fn first_with_console(system: &System) -> Result<(Process, OwnedFd, OwnedFd), Failure> {
    let query = SystemPropertyQuery::default().property_types([SystemPropertyType::ProcessList]);
    let listed = system.properties(Some(&query)).wait()?.process_list.unwrap_or_default();
    let mut numbers: Vec<u32> = listed.into_iter().filter_map(|process| process.process_id).collect();
    numbers.sort_unstable();
    for process_id in numbers {
        // Others were not made by a client, or have ended meanwhile.
        let Ok(process) = system.open_process(process_id).wait() else { continue };
        let Ok(Some((to, from))) = ends(&process) else { continue };
        if isatty(&from) {
            return Ok((process, to, from));
        }
    }
    Err(Failure::new(format!(
        "{} has no process with a console; `hcs exec -it` starts one, and `hcs logs` shows what was kept",
        system.id()
    )))
}

/// Two that read from one console would each get a part of what it says. So who is attached has a name that nobody else can
/// have at the same time; it is gone with this command.
fn claim(system: &System, process_id: u32) -> Result<OwnedFd, Failure> {
    let name = format!("hcs-console/{}/{process_id}", system.instance());
    let claim = || {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
        Ok(socket)
    };
    claim().map_err(|errno| match errno {
        rustix::io::Errno::ADDRINUSE => Failure::new(format!(
            "another `hcs console` is attached to process {process_id} of {}",
            system.id()
        )),
        errno => Failure::io(&errno.into(), "attaching to the console"),
    })
}

impl Attached {
    fn serve(self) -> Result<ExitCode, Failure> {
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH])
            .map_err(|error| Failure::io(&error, "taking signals"))?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map(Arc::new);
        let stop = stop.map_err(|errno| Failure::io(&errno.into(), "making an event"))?;
        let raw = terminal::Raw::enter();
        if raw.is_some() {
            output::note(&format!("attached to {}; Ctrl-] detaches\r", self.name));
        }
        let (told, process, is_raw) = (stop.clone(), self.process, raw.is_some());
        thread::spawn(move || {
            // By this thread alone, so that no size comes behind a later one.
            process.iter().filter(|_| is_raw).for_each(fit);
            for signal in signals.forever() {
                if signal == SIGWINCH {
                    process.iter().for_each(fit);
                    continue;
                }
                let _ = rustix::io::write(&told, &u64::to_ne_bytes(signal as u64));
                return;
            }
        });
        let ended = detachable::serve(&self.to, &self.from, &stop, raw.is_some());
        drop(raw);
        match ended.map_err(|error| Failure::io(&error, &format!("attached to {}", self.name)))? {
            detachable::Ended::Detached => output::note("detached"),
            detachable::Ended::Closed => output::note(&format!("{} has ended", self.name)),
            // As a process that dies of it.
            detachable::Ended::Signal(signal) => return Ok(ExitCode::from(128 + signal)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Gives the console the size of the terminal.
fn fit(process: &Process) {
    if let Some((rows, columns)) = terminal::size() {
        // A process that has just ended needs no size.
        let _ = process.resize(rows, columns).wait();
    }
}

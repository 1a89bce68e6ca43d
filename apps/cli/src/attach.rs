//! A process with its input and output here: what `exec` and `run` do once it is started.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::ExitCode,
    sync::Arc,
    thread::{self, JoinHandle},
};

use hcs::{
    Process, System,
    schema::{OciProcess, OciUser, ProcessParameters, Signal, SignalProcessOptions},
};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH},
    iterator::Signals,
};

use crate::{failure::Failure, terminal};

/// What docker has made everybody expect of a process that could not be run.
pub const NOT_RUN: u8 = 125;

/// How long the output may be silent after the end of the process, while another process still holds it.
const SILENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// What can be said of a process beside its program.
#[derive(clap::Args)]
pub struct How {
    /// Pass the standard input on.
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the process a console.
    #[arg(short, long)]
    pub tty: bool,
    /// The process's working directory.
    #[arg(short, long, value_name = "FOLDER")]
    workdir: Option<String>,
    /// A variable of the process's environment; without a value, the one of this command.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Who the process runs as, by name or number.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
}

impl How {
    /// The document of a process that is run so. Without a command it is the one that its system names.
    pub fn parameters(&self, command: &[String]) -> ProcessParameters {
        let environment: BTreeMap<String, String> =
            self.env.iter().filter_map(|given| variable(given)).collect();
        ProcessParameters {
            command_args: (!command.is_empty()).then(|| command.to_vec()),
            working_directory: self.workdir.clone(),
            user: self.user.clone(),
            environment: (!environment.is_empty()).then_some(environment),
            ..self.streams()
        }
    }

    /// The document of a process of which another document says what it runs.
    pub fn streams(&self) -> ProcessParameters {
        let size = terminal::size().filter(|_| self.tty);
        ProcessParameters {
            create_std_in_pipe: self.interactive.then_some(true),
            create_std_out_pipe: Some(true),
            // A console has one output.
            create_std_err_pipe: (!self.tty).then_some(true),
            emulate_console: self.tty.then_some(true),
            console_size: size.map(|(rows, columns)| [rows, columns]),
            ..Default::default()
        }
    }

    /// Says in another document how its process is run. What is said here takes the place of what is said there.
    pub fn add_to(&self, process: &mut OciProcess) {
        if let Some(folder) = &self.workdir {
            process.cwd = Some(folder.clone());
        }
        if let Some(user) = &self.user {
            process.user = Some(OciUser::default().username(user.clone()));
        }
        let variables = process.env.get_or_insert_default();
        for (name, value) in self.env.iter().filter_map(|given| variable(given)) {
            let begins = format!("{name}=");
            variables.retain(|variable| !variable.starts_with(&begins));
            variables.push(begins + &value);
        }
    }

    /// Runs a process and is its input and output until its end. Signals that we get go to it.
    pub fn attach(&self, system: &System, parameters: &ProcessParameters) -> Result<ExitCode, Failure> {
        // Before the process is there, so that no signal falls between.
        let signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH])
            .map_err(|error| Failure::io(&error, "taking signals"))?;
        let mut process = system.run(parameters).wait()?;
        let pipes = std::mem::take(&mut process.pipes);
        // With a console it is the console that makes a line of keys and a signal of Ctrl-C.
        let raw = if self.tty && self.interactive { terminal::Raw::enter() } else { None };
        let process = Arc::new(process);
        let ended = Arc::new(
            eventfd(0, EventfdFlags::CLOEXEC)
                .map_err(|errno| Failure::io(&errno.into(), "making an event"))?,
        );
        if let Some(stdin) = pipes.stdin {
            thread::spawn(move || feed(stdin));
        }
        let outputs: Vec<JoinHandle<()>> = [
            pipes.stdout.map(|from| pass_on(from, io::stdout(), &ended)),
            pipes.stderr.map(|from| pass_on(from, io::stderr(), &ended)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let (target, tty) = (process.clone(), self.tty);
        thread::spawn(move || forward(signals, &target, tty));

        let status = process.wait_blocking();
        // What the process has written still comes; who holds its streams from now on is not waited for.
        let _ = rustix::io::write(&ended, &1u64.to_ne_bytes());
        for output in outputs {
            let _ = output.join();
        }
        drop(raw);
        let status = status?;
        match (status.last_wait_result.unwrap_or(0), status.exit_code) {
            // The code of a process has eight bits on Linux.
            (0, Some(code)) => Ok(ExitCode::from(code as u8)),
            (0, None) => Ok(ExitCode::SUCCESS),
            _ => Err(Failure::new("the exit code of the process is not known")),
        }
    }
}

/// `NAME=VALUE`, or a variable of our own environment by its name.
fn variable(given: &str) -> Option<(String, String)> {
    match given.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((given.to_owned(), std::env::var(given).ok()?)),
    }
}

/// Passes the standard input on until either end closes.
fn feed(to: OwnedFd) {
    // An error is the end of one of them; the process sees the end of its input in either case.
    let _ = io::copy(&mut io::stdin().lock(), &mut File::from(to));
}

/// Passes an output on, until it ends or the process has ended and it falls silent.
fn pass_on(from: OwnedFd, mut to: impl Write + Send + 'static, ended: &Arc<OwnedFd>) -> JoinHandle<()> {
    let ended = ended.clone();
    thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        while wait_for_data(from.as_fd(), ended.as_fd()) {
            match rustix::io::read(&from, &mut buffer) {
                // A console whose last process has gone reads as an error.
                Ok(0) | Err(_) => return,
                // Our end closes with this thread, so the process is told that nobody listens any more.
                Ok(length) => {
                    if to.write_all(&buffer[..length]).and_then(|()| to.flush()).is_err() {
                        return;
                    }
                }
            }
        }
    })
}

/// False when nothing is to be expected any more.
fn wait_for_data(from: BorrowedFd<'_>, ended: BorrowedFd<'_>) -> bool {
    let mut both =
        [PollFd::from_borrowed_fd(from, PollFlags::IN), PollFd::from_borrowed_fd(ended, PollFlags::IN)];
    while poll(&mut both, None).is_err() {}
    if !both[0].revents().is_empty() {
        return true;
    }
    matches!(poll(&mut [PollFd::from_borrowed_fd(from, PollFlags::IN)], Some(&SILENCE)), Ok(ready) if ready > 0)
}

/// Sends the process the signals that we get; a new window size goes to its console.
fn forward(mut signals: Signals, process: &Process, tty: bool) {
    for signal in signals.forever() {
        let done = if signal != SIGWINCH {
            let options = SignalProcessOptions { signal: Some(Signal::Number(signal as u32)) };
            process.signal(Some(&options)).wait()
        } else if let Some((rows, columns)) = terminal::size().filter(|_| tty) {
            process.resize(rows, columns).wait()
        } else {
            Ok(())
        };
        // A process that has just ended needs no signal; anything else is for people to know.
        if let Err(error) = done
            && error.cause != hcs::Cause::ProcessAlreadyStopped
        {
            eprintln!("hcs: {error}\r");
        }
    }
}

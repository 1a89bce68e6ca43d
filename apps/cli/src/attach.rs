//! A process with its input and output here: what `exec` and `run` do once it is started.
//!
//! One loop passes on what the process says and the signals that we get, and hears of the end of the process. Only the input
//! has a thread, because a read of it cannot be given up. A thread for each stream, or for the link, would be simpler, but
//! costs a tenth of a short container's whole life.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    pin::{Pin, pin},
    process::ExitCode,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread,
};

use hcs::{
    Error, Link, Operation, Process, System,
    schema::{OciProcess, OciUser, ProcessParameters, ProcessStatus, Signal, SignalProcessOptions},
};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno,
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH},
    iterator::{backend::SignalDelivery, exfiltrator::SignalOnly},
};

use crate::{failure::Failure, output, passage::Passage, terminal};

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
        let mut signals = Signals::take().map_err(|error| Failure::io(&error, "taking signals"))?;
        let mut process = system.run(parameters).wait()?;
        let pipes = std::mem::take(&mut process.pipes);
        // With a console it is the console that makes a line of keys and a signal of Ctrl-C.
        let raw = if self.tty && self.interactive { terminal::Raw::enter() } else { None };
        if let Some(stdin) = pipes.stdin {
            thread::spawn(move || feed(stdin));
        }
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let passages = [
            pipes.stdout.map(|from| Passage::new(from, stdout.as_fd())),
            pipes.stderr.map(|from| Passage::new(from, stderr.as_fd())),
        ];
        let status = serve(system.link(), &process, passages, &mut signals, self.tty)
            .map_err(|error| Failure::io(&error, "waiting for the process"))?;
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

/// Passes on until the process has ended and its outputs have, or are silent. An error is one of this command alone.
fn serve(
    link: &Link,
    process: &Process,
    mut passages: [Option<Passage<'_>>; 2],
    signals: &mut Signals,
    tty: bool,
) -> io::Result<Result<ProcessStatus, Error>> {
    let bell = Arc::new(Bell(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?));
    let waker = Waker::from(bell.clone());
    let mut context = Context::from_waker(&waker);
    let mut end = pin!(process.wait());
    let mut ended = None;
    let mut sent = Vec::new();
    loop {
        bell.silence();
        sent.retain_mut(|call: &mut Operation<()>| match Pin::new(call).poll(&mut context) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                tell(outcome);
                false
            }
        });
        if ended.is_none()
            && let Poll::Ready(status) = end.as_mut().poll(&mut context)
        {
            ended = Some(status);
        }
        let is_stuck = passages.iter().flatten().any(Passage::waits_for_room);
        if let Some(status) = ended.take_if(|_| passages.iter().all(Option::is_none)) {
            return Ok(status);
        }
        let mut fds = vec![
            PollFd::new(&bell.0, PollFlags::IN),
            PollFd::new(signals.0.get_read(), PollFlags::IN),
            PollFd::new(link, PollFlags::IN),
        ];
        fds.extend(passages.iter().flatten().map(Passage::awaited));
        // What the process has written still comes; who holds its streams from now on is not waited for.
        let patience = (ended.is_some() && !is_stuck).then_some(&SILENCE);
        let found = match poll(&mut fds, patience) {
            Ok(found) => found,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        if let Some(status) = ended.take_if(|_| found == 0) {
            return Ok(status);
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready[1] {
            sent.extend(signals.0.pending().filter_map(|signal| forward(signal, process, tty)));
        }
        if ready[2] {
            link.look();
        }
        let mut ready = ready[3..].iter();
        for passage in &mut passages {
            // Our end closes with the passage, so the process is told that nobody listens any more.
            let _ = passage.take_if(|passage| ready.next() == Some(&true) && !passage.pass_on());
        }
    }
}

/// Sends the process a signal that we got; a new window size goes to its console.
fn forward(signal: i32, process: &Process, tty: bool) -> Option<Operation<()>> {
    if signal != SIGWINCH {
        let options = SignalProcessOptions { signal: Some(Signal::Number(signal as u32)) };
        return Some(process.signal(Some(&options)));
    }
    let (rows, columns) = terminal::size().filter(|_| tty)?;
    Some(process.resize(rows, columns))
}

/// A process that has just ended needs no signal; anything else is for people to know.
fn tell(outcome: Result<(), Error>) {
    if let Err(error) = outcome
        && error.cause != hcs::Cause::ProcessAlreadyStopped
    {
        output::note(&format!("{error}\r"));
    }
}

/// The signals that go to the process.
struct Signals(SignalDelivery<UnixStream, SignalOnly>);

impl Signals {
    fn take() -> io::Result<Signals> {
        let (read, write) = UnixStream::pair()?;
        let all = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH];
        Ok(Signals(SignalDelivery::with_pipe(read, write, SignalOnly, all)?))
    }
}

/// Rung when a future may be ready.
struct Bell(OwnedFd);

impl Bell {
    fn silence(&self) {
        // It may not have been rung.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // It is full only if it rings already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

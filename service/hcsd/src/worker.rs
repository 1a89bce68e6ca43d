//! The worker process of a system, as hcsd sees it: started or found again, spoken to, and gone.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use hcs_container::process;
use hcs_core::{Cause, Error, ready};
use hcs_ipc::{
    socket,
    stream::Stream,
    watched,
    worker::{Hello, Numbered, Request, VERSIONS, Welcome},
};
use hcs_schema::Guid;
use rustix::{
    event::PollFlags,
    net::{AddressFamily, SocketFlags, SocketType},
    process::Signal,
};
use tokio::{
    io::{
        Interest,
        unix::{AsyncFd, AsyncFdRegisterError},
    },
    process::{Child, Command},
};

use crate::{
    blocking, descriptor_limit,
    process_identity::{self, ProcessIdentity},
};

/// How long a new worker may take to greet. It does so before anything that can hang; one that has a system may be busy.
pub const GREETING: Duration = Duration::from_secs(5);

/// How long a killed worker may take to die, and one that was told to go.
const DEATH: Duration = Duration::from_secs(5);

/// How long one that has hung up may take to die: it has come to its end, and only the kernel has something to do. One that
/// lives longer has been cut off, and waits for somebody to call.
const HUNG_UP: Duration = Duration::from_millis(500);

/// A greeted worker.
pub struct Worker {
    /// The conversation.
    pub stream: Stream,
    process: Process,
    identity: Option<ProcessIdentity>,
}

/// The worker's process.
enum Process {
    /// One that we exec'd.
    Child(Child),
    /// One that another made: ours all the same if it is a twin, else a stranger that we found. Watched from the beginning:
    /// when its death has to be waited for there may be no descriptor left to do it with. Gone only while this is dropped.
    Other(Option<AsyncFd<OwnedFd>>),
    /// That of the machine in which a container is: it is not ended with the container.
    OfHost,
}

/// The worker's socket in a system's folder.
pub fn socket_path(folder: &Path) -> PathBuf {
    folder.join("worker.sock")
}

/// Starts a worker that has no system yet. `program` is a pinned program.
pub async fn start(program: Arc<OwnedFd>) -> Result<Worker, Error> {
    // The thread that starts a process waits for its exec, and this one has better things to do.
    let spawned = blocking::run(move || spawn(&program)).await?;
    let (child, socket) = spawned.map_err(|error| failed_to_start(&error))?;
    let mut process = Process::Child(child);
    let greeted =
        async { greet(Stream::new(socket).map_err(|error| failed_to_start(&error))?, None, GREETING).await };
    match identified(greeted.await) {
        Ok((stream, identity)) => Ok(Worker { stream, process, identity }),
        Err(error) => {
            process.kill().await;
            Err(error)
        }
    }
}

fn failed_to_start(error: &io::Error) -> Error {
    Error::from_io(error, "starting the worker")
}

fn unseen(error: &io::Error) -> Error {
    Error::from_io(error, "looking at the worker")
}

/// Who has greeted, so that it is found when it does not answer any more.
fn identified(greeted: Result<(Stream, Welcome), Error>) -> Result<(Stream, Option<ProcessIdentity>), Error> {
    let (stream, welcome) = greeted?;
    Ok((stream, ProcessIdentity::of(welcome.pid).map_err(|error| unseen(&error))?))
}

fn connection() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// The process and our end of its connection.
fn spawn(program: &OwnedFd) -> io::Result<(Child, OwnedFd)> {
    let (ours, theirs) = connection()?;
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command
        .arg0("hcs-worker")
        // The place of the system's GUID.
        .arg(Guid::NIL.to_string())
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .current_dir("/");
    // What is built to count its lines counts into the file that it is told.
    #[cfg(coverage)]
    command.envs(std::env::vars_os().filter(|(name, _)| name == "LLVM_PROFILE_FILE"));
    let mut child = command.spawn()?;
    if let Err(error) = child.id().map_or(Ok(()), descriptor_limit::give_back) {
        // It is buried by the runtime.
        child.start_kill()?;
        return Err(error);
    }
    Ok((child, ours))
}

/// Finds the worker of a system that another hcsd has started; fails if it is dead or does not answer.
pub async fn find(folder: &Path, patience: Duration) -> Result<(Worker, Welcome), Error> {
    let stream = socket::connect_at_once(&socket_path(folder)).and_then(Stream::new);
    let (stream, welcome) =
        greet(stream.map_err(|error| Error::from_io(&error, "speaking to the worker"))?, None, patience)
            .await?;
    // It has just spoken and has not been released, so the number is still its own.
    let identity = ProcessIdentity::of(welcome.pid).map_err(|error| unseen(&error))?;
    let opened = identity.map(ProcessIdentity::open).transpose().map_err(|error| unseen(&error))?;
    let pidfd = opened
        .flatten()
        .ok_or_else(|| Error::new(Cause::Unexpected, "the worker died right after it greeted"))?;
    let process = Process::other(pidfd).map_err(|unwatched| failed_to_start(&unwatched.into()))?;
    Ok((Worker { stream, process, identity }, welcome))
}

/// Finds the worker of the machine with this folder, for a container in it that is called this there. No other was ever
/// called so: who comes may meet what is left of one that has just gone.
pub async fn find_host(
    folder: &Path,
    hosted: String,
    patience: Duration,
) -> Result<(Worker, Welcome), Error> {
    let stream = socket::connect_at_once(&socket_path(folder)).and_then(Stream::new);
    let stream = stream.map_err(|error| Error::from_io(&error, "speaking to the worker of the machine"))?;
    let (stream, welcome) = greet(stream, Some(hosted), patience).await?;
    Ok((Worker { stream, process: Process::OfHost, identity: None }, welcome))
}

/// Has a worker without a system make another one.
pub async fn twin(worker: &mut Worker) -> Result<Worker, Error> {
    let (ours, theirs) = connection().map_err(|error| failed_to_start(&error))?;
    worker.ask(Request::Twin, vec![theirs]).await?;
    let answered = tokio::time::timeout(GREETING, worker.stream.receive()).await;
    let answered = answered.ok().and_then(Result::ok).flatten();
    let pidfd = answered.and_then(|message| message.fds.into_iter().next());
    let pidfd = pidfd.ok_or_else(|| Error::new(Cause::Unexpected, "the worker made no other"))?;
    let mut process = Process::other(pidfd).map_err(|unwatched| {
        let (pidfd, error) = unwatched.into_parts();
        // Nobody could bury it later.
        process::end(pidfd.as_fd());
        failed_to_start(&error)
    })?;
    let greeted =
        async { greet(Stream::new(ours).map_err(|error| failed_to_start(&error))?, None, GREETING).await };
    match identified(greeted.await) {
        Ok((stream, identity)) => Ok(Worker { stream, process, identity }),
        Err(error) => {
            process.kill().await;
            Err(error)
        }
    }
}

/// Ends and buries the workers that are born of ours since then and not known, dead or alive. Who was to tell of them has died
/// over that, and they may have died before they could say themselves who they are.
pub async fn bury(since: u64, known: &[ProcessIdentity]) {
    match process_identity::workers_since(since) {
        Ok(born) => {
            for orphan in born.into_iter().filter(|one| !known.contains(one)) {
                kill(orphan).await;
            }
        }
        Err(error) => tracing::error!(%error, "a worker of which nobody has told may be left"),
    }
}

/// Kills a worker that cannot be spoken to. One that is gone already is fine.
pub async fn kill(worker: ProcessIdentity) {
    let attempt = || async move {
        let Some(pidfd) = worker.open().map_err(|error| unseen(&error))? else { return Ok(()) };
        let mut process = Process::other(pidfd).map_err(|unwatched| unseen(&unwatched.into()))?;
        process.kill().await;
        Ok(())
    };
    if let Err(error) = blocking::await_means(attempt).await {
        tracing::error!(%error, pid = worker.pid, "a worker that does not answer could not be killed");
    }
}

async fn greet(
    mut stream: Stream,
    hosted: Option<String>,
    patience: Duration,
) -> Result<(Stream, Welcome), Error> {
    let failed = |error: io::Error| Error::from_io(&error, "speaking to the worker");
    let exchange = async move {
        let hello = serde_json::to_vec(&Hello { versions: VERSIONS.to_vec(), hosted })
            .map_err(|error| failed(error.into()))?;
        stream.send(hello, Vec::new()).await.map_err(failed)?;
        let message = stream.receive().await.map_err(failed)?;
        let message = message.ok_or_else(|| Error::new(Cause::Unexpected, "the worker died at once"))?;
        let welcome: Welcome = serde_json::from_slice(&message.text).map_err(|error| failed(error.into()))?;
        if welcome.version.is_none() {
            return Err(Error::new(Cause::UnsupportedProtocolVersion, "the worker is of another release"));
        }
        Ok((stream, welcome))
    };
    tokio::time::timeout(patience, exchange)
        .await
        .unwrap_or_else(|_| Err(Error::new(Cause::DeadlineExceeded, "the worker does not answer")))
}

impl Worker {
    /// Gives it the system with this folder, and the socket at which it is found from now on.
    pub async fn own(&mut self, folder: &Path, name: String) -> Result<(), Error> {
        let listener = socket::listen(&socket_path(folder), 16).map_err(|error| failed_to_start(&error))?;
        self.ask(Request::Own { name }, vec![listener]).await
    }

    /// Asks for something that is not answered.
    async fn ask(&mut self, body: Request, fds: Vec<OwnedFd>) -> Result<(), Error> {
        let request = serde_json::to_vec(&Numbered { number: 0, body })
            .map_err(|error| failed_to_start(&error.into()))?;
        self.stream.send(request, fds).await.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                Error::new(Cause::UnexpectedExit, "the worker has died")
            }
            _ => failed_to_start(&error),
        })
    }

    /// Whether it is still there: one that was started ahead may have died since.
    pub fn is_there(&self) -> bool {
        // Nothing is said by a worker without a system, so whatever is there to be read is its end.
        ready::now(self.stream.as_socket(), PollFlags::IN) == Ok(PollFlags::empty())
    }

    /// Which process it is.
    pub fn identity(&self) -> Option<ProcessIdentity> {
        self.identity
    }

    /// Kills the worker and returns its exit code where it can be known: exit code, or 128 + signal. That of a machine goes on,
    /// and does away with the container that this was about.
    pub async fn kill(mut self) -> Option<u32> {
        if matches!(self.process, Process::OfHost) {
            // One that cannot be told any more has gone, and the container with it.
            let _ = self.ask(Request::Release, Vec::new()).await;
        }
        self.process.kill().await
    }

    /// It may go: how its system has ended is known. Whether it has said by its exit that nothing is left.
    pub async fn release(mut self) -> bool {
        let asked = self.ask(Request::Release, Vec::new()).await;
        if matches!(self.process, Process::OfHost) {
            // That of a machine goes on, and what it has left of a container is in the machine.
            return true;
        }
        // Who cannot be told does not go by itself.
        let patience = if asked.is_ok() { DEATH } else { HUNG_UP };
        self.gone_within(patience).await == Some(0)
    }

    /// Waits for the death of a worker that has closed the connection; its exit code, as of [`Worker::kill`].
    pub async fn gone(self) -> Option<u32> {
        self.gone_within(HUNG_UP).await
    }

    async fn gone_within(mut self, patience: Duration) -> Option<u32> {
        match tokio::time::timeout(patience, self.process.wait()).await {
            Ok(code) => code,
            Err(_) => self.process.kill().await,
        }
    }
}

impl Process {
    fn other(pidfd: OwnedFd) -> Result<Process, AsyncFdRegisterError<OwnedFd>> {
        Ok(Process::Other(Some(watched::watch(pidfd, Interest::READABLE)?)))
    }

    async fn kill(&mut self) -> Option<u32> {
        match self {
            Process::Child(child) => {
                let _ = child.start_kill();
            }
            Process::Other(Some(watched)) => {
                let _ = rustix::process::pidfd_send_signal(watched.get_ref(), Signal::KILL);
            }
            Process::Other(None) | Process::OfHost => {}
        }
        tokio::time::timeout(DEATH, self.wait()).await.unwrap_or(None)
    }

    async fn wait(&mut self) -> Option<u32> {
        match self {
            Process::Child(child) => {
                let status = child.wait().await.ok()?;
                status.code().or_else(|| status.signal().map(|signal| 128 + signal)).map(|code| code as u32)
            }
            Process::Other(Some(watched)) => {
                // It can be read when it is dead.
                let _ = watched.readable().await.ok()?;
                // That of a stranger is not to be had.
                process::try_wait(watched.as_fd()).ok().flatten()
            }
            Process::Other(None) | Process::OfHost => None,
        }
    }
}

impl Drop for Process {
    /// Somebody must bury a child; tokio does it for those that it has started.
    fn drop(&mut self) {
        if let Process::Other(watched) = self
            && let Some(watched) = watched.take()
            && let Ok(None) = process::try_wait(watched.as_fd())
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                let _ = watched.readable().await;
                let _ = process::try_wait(watched.as_fd());
            });
        }
    }
}

//! The worker process of a system, as hcsd sees it: started or found again, spoken to, and gone.

use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use hcs_core::{Cause, Error};
use hcs_ipc::{
    socket,
    stream::Stream,
    worker::{Hello, VERSIONS, Welcome},
};
use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::process_identity::ProcessIdentity;

/// How long a worker may take to greet. It does so before anything that can hang.
const GREETING: Duration = Duration::from_secs(5);

/// How long a killed worker may take to die.
const DEATH: Duration = Duration::from_secs(5);

/// A greeted worker.
pub struct Worker {
    /// The conversation.
    pub stream: Stream,
    process: Process,
}

/// The worker's process: our child, or a stranger's that we found.
enum Process {
    Child(Child),
    Adopted(OwnedFd),
}

/// The worker's socket in a system's folder.
pub fn socket_path(folder: &Path) -> PathBuf {
    folder.join("worker.sock")
}

/// Starts a worker for the system with this folder. `program` is a pinned program.
pub async fn start(folder: &Path, program: &OwnedFd, name: &str) -> Result<Worker, Error> {
    let failed = |error: &io::Error| Error::from_io(error, "starting the worker");
    let listener = socket::listen(&socket_path(folder), 16).map_err(|error| failed(&error))?;
    let child = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .arg0("hcs-worker")
        .arg(name)
        .env_clear()
        .stdin(Stdio::from(listener))
        .stdout(Stdio::null())
        .current_dir("/")
        .spawn()
        .map_err(|error| failed(&error))?;
    let mut process = Process::Child(child);
    match greet(folder).await {
        Ok((stream, _)) => Ok(Worker { stream, process }),
        Err(error) => {
            process.kill().await;
            Err(error)
        }
    }
}

/// Finds the worker of a system that another hcsd has started; fails if it is dead or does not answer.
pub async fn find(folder: &Path) -> Result<(Worker, Welcome), Error> {
    let (stream, welcome) = greet(folder).await?;
    // The worker has just spoken and has not been released, so the number is still its own.
    let pidfd = ProcessIdentity::of(welcome.pid)
        .and_then(ProcessIdentity::open)
        .ok_or_else(|| Error::new(Cause::Unexpected, "the worker died while it was found"))?;
    Ok((Worker { stream, process: Process::Adopted(pidfd) }, welcome))
}

/// Kills a worker that cannot be spoken to. One that is gone already is fine.
pub async fn kill(worker: ProcessIdentity) {
    if let Some(pidfd) = worker.open() {
        Process::Adopted(pidfd).kill().await;
    }
}

async fn greet(folder: &Path) -> Result<(Stream, Welcome), Error> {
    let failed = |error: io::Error| Error::from_io(&error, "speaking to the worker");
    let stream = socket::connect_at_once(&socket_path(folder)).and_then(Stream::new).map_err(failed)?;
    let exchange = async move {
        let mut stream = stream;
        let hello = serde_json::to_vec(&Hello { versions: VERSIONS.to_vec() })
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
    tokio::time::timeout(GREETING, exchange)
        .await
        .unwrap_or_else(|_| Err(Error::new(Cause::DeadlineExceeded, "the worker does not answer")))
}

impl Worker {
    /// Which process it is, if it still is one.
    pub fn identity(&self) -> Option<ProcessIdentity> {
        match &self.process {
            Process::Child(child) => ProcessIdentity::of(child.id()?),
            Process::Adopted(_) => None,
        }
    }

    /// Kills the worker and returns its exit code where it can be known: exit code, or 128 + signal.
    pub async fn kill(mut self) -> Option<u32> {
        self.process.kill().await
    }

    /// Waits for the death of a worker that has been released or has closed the connection.
    pub async fn gone(mut self) -> Option<u32> {
        match tokio::time::timeout(DEATH, self.process.wait()).await {
            Ok(code) => code,
            Err(_) => self.process.kill().await,
        }
    }
}

impl Process {
    async fn kill(&mut self) -> Option<u32> {
        match self {
            Process::Child(child) => {
                let _ = child.start_kill();
            }
            Process::Adopted(pidfd) => {
                let _ = rustix::process::pidfd_send_signal(&*pidfd, Signal::KILL);
            }
        }
        tokio::time::timeout(DEATH, self.wait()).await.unwrap_or(None)
    }

    async fn wait(&mut self) -> Option<u32> {
        match self {
            Process::Child(child) => {
                let status = child.wait().await.ok()?;
                status.code().or_else(|| status.signal().map(|signal| 128 + signal)).map(|code| code as u32)
            }
            Process::Adopted(pidfd) => {
                // Somebody else's child: only its death can be seen, and a blocking poll sees it.
                let pidfd = pidfd.try_clone().ok()?;
                let wait = move || {
                    let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
                    let limit = rustix::event::Timespec { tv_sec: DEATH.as_secs() as i64, tv_nsec: 0 };
                    let _ = rustix::event::poll(&mut fds, Some(&limit));
                };
                let _ = tokio::task::spawn_blocking(wait).await;
                None
            }
        }
    }
}

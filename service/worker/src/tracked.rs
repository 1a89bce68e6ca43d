//! One process of the system, and what the worker holds for it: its descriptor, its streams, its console.

use std::os::fd::{AsFd, OwnedFd};

use hcs_container::{Process, ProcessPlan, console::Console, process};
use hcs_core::Error;
use hcs_ipc::worker::{Answer, ProcessRecord};

use crate::{output::Output, relay::Relay};

/// A process and what the worker holds for it.
pub struct Tracked {
    /// What hcsd is told of it.
    pub record: ProcessRecord,
    /// Readable when it is dead; `None` once its exit was taken.
    pub pidfd: Option<OwnedFd>,
    /// The way of its standard input.
    pub relay: Option<Relay>,
    /// The way of its standard output.
    pub stdout: Option<Output>,
    /// The way of its standard error.
    pub stderr: Option<Output>,
    /// Its console, in the place of all three.
    pub console: Option<Shared>,
}

/// A console, and which ends of it the client asked for.
pub struct Shared {
    /// The master end.
    pub console: Console,
    stdin: bool,
    stdout: bool,
    /// Nobody but the worker takes what is said on it.
    pub unread: bool,
}

impl Shared {
    /// Fresh ends for the client.
    pub fn ends(&self, process_id: u32) -> Result<Ends, Error> {
        let end = |wanted: bool| wanted.then(|| self.console.client_end()).transpose();
        Ok(Ends { process_id, stdin: end(self.stdin)?, stdout: end(self.stdout)?, stderr: None })
    }
}

/// The pipe ends of a process, for the client.
#[derive(Debug)]
pub struct Ends {
    /// The process's id in the container.
    pub process_id: u32,
    /// Write end.
    pub stdin: Option<OwnedFd>,
    /// Read end.
    pub stdout: Option<OwnedFd>,
    /// Read end.
    pub stderr: Option<OwnedFd>,
}

impl Ends {
    /// How hcsd is told of them.
    pub fn into_answer(self) -> (Answer, Vec<OwnedFd>) {
        let answer = Answer::Started {
            process_id: self.process_id,
            stdin: self.stdin.is_some(),
            stdout: self.stdout.is_some(),
            stderr: self.stderr.is_some(),
        };
        (answer, [self.stdin, self.stdout, self.stderr].into_iter().flatten().collect())
    }
}

/// What is kept of a process that was started, and what its client gets. One that nothing can be kept of is ended: its client
/// is told that there is none.
pub fn track(started: Process, plan: &ProcessPlan) -> Result<(Tracked, Ends), Error> {
    let Process { process_id, pidfd, stdin, stdout, stderr, console } = started;
    match ways(process_id, [stdin, stdout, stderr], console, plan) {
        Ok((tracked, ends)) => Ok((Tracked { pidfd: Some(pidfd), ..tracked }, ends)),
        Err(error) => {
            process::end(pidfd.as_fd());
            Err(error)
        }
    }
}

/// The ways of its streams.
fn ways(
    process_id: u32,
    [stdin, stdout, stderr]: [Option<OwnedFd>; 3],
    console: Option<Console>,
    plan: &ProcessPlan,
) -> Result<(Tracked, Ends), Error> {
    let (relay, stdin) = match stdin {
        Some(to_process) => Relay::new(to_process).map(|(relay, client)| (Some(relay), Some(client)))?,
        None => (None, None),
    };
    let remember = |end: &Option<OwnedFd>| end.as_ref().map(Output::remember).transpose();
    let (stdin_wanted, stdout_wanted) = (plan.stdin, plan.stdout);
    let unread = !stdin_wanted && !stdout_wanted;
    let console =
        console.map(|console| Shared { console, stdin: stdin_wanted, stdout: stdout_wanted, unread });
    let ends = match &console {
        Some(shared) => shared.ends(process_id)?,
        None => Ends { process_id, stdin, stdout, stderr },
    };
    let tracked = Tracked {
        record: ProcessRecord { process_id, exit: None },
        pidfd: None,
        relay,
        stdout: if console.is_some() { None } else { remember(&ends.stdout)? },
        stderr: remember(&ends.stderr)?,
        console,
    };
    Ok((tracked, ends))
}

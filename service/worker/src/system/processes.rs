//! The processes of a system that its worker has started, by their ids: their streams, and the exits of those that have
//! ended, until too many others have ended since.

use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::{AsFd, BorrowedFd},
};

use hcs_container::{
    console::{Console, Size},
    process,
};
use hcs_core::{Cause, Error};
use hcs_ipc::worker::{ProcessExit, ProcessRecord};

use crate::{
    output::Output,
    relay::{Flow, Relay},
    tracked::{Ends, Tracked},
};

/// How many ended processes are remembered, so that a system that runs for years does not grow.
const REMEMBERED: usize = 4096;

/// The processes.
#[derive(Default)]
pub struct Processes {
    all: BTreeMap<u32, Tracked>,
    ended_in_order: VecDeque<u32>,
}

impl Processes {
    /// What is known of them.
    pub fn records(&self) -> impl Iterator<Item = ProcessRecord> {
        self.all.values().map(|tracked| tracked.record.clone())
    }

    /// One was started. An ended process of the same number makes room for it.
    pub fn add(&mut self, tracked: Tracked) {
        let process_id = tracked.record.process_id;
        self.ended_in_order.retain(|id| *id != process_id);
        self.all.insert(process_id, tracked);
    }

    /// The exit code of one that is dead, which is to be told with [`Processes::ended`].
    pub fn try_wait(&self, process_id: u32) -> Option<u32> {
        let pidfd = self.all.get(&process_id)?.pidfd.as_ref()?;
        process::try_wait(pidfd.as_fd()).ok()?
    }

    /// One has ended like this: nothing is left of it but what is known.
    pub fn ended(&mut self, process_id: u32, exit: ProcessExit) -> Option<ProcessRecord> {
        let tracked = self.all.get_mut(&process_id)?;
        tracked.pidfd = None;
        tracked.relay = None;
        tracked.stdout = None;
        tracked.stderr = None;
        tracked.console = None;
        tracked.record.exit = Some(exit);
        let record = tracked.record.clone();
        self.ended_in_order.push_back(process_id);
        if self.ended_in_order.len() > REMEMBERED
            && let Some(oldest) = self.ended_in_order.pop_front()
        {
            self.all.remove(&oldest);
        }
        Some(record)
    }

    /// The living processes, to be polled.
    pub fn living(&self) -> impl Iterator<Item = (u32, BorrowedFd<'_>)> {
        self.all.iter().filter_map(|(id, tracked)| Some((*id, tracked.pidfd.as_ref()?.as_fd())))
    }

    /// The relays, to be polled.
    pub fn relays(&self) -> impl Iterator<Item = (u32, &Relay)> {
        self.all.iter().filter_map(|(id, tracked)| Some((*id, tracked.relay.as_ref()?)))
    }

    /// Moves input on.
    pub fn pump(&mut self, process_id: u32) {
        let Some(tracked) = self.all.get_mut(&process_id) else { return };
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
        self.all.iter().filter_map(|(id, tracked)| {
            let shared = tracked.console.as_ref().filter(|shared| shared.unread)?;
            Some((*id, &shared.console))
        })
    }

    /// Takes what was said on such a console.
    pub fn discard_output(&mut self, process_id: u32) {
        if let Some(shared) = self.all.get_mut(&process_id).and_then(|tracked| tracked.console.as_mut()) {
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
        match self.all.get_mut(&process_id) {
            None => Err(Error::new(Cause::NotFound, format!("there is no process {process_id}"))),
            Some(tracked) if tracked.pidfd.is_none() => Err(Cause::ProcessAlreadyStopped.into()),
            Some(tracked) => Ok(tracked),
        }
    }
}

/// The size of what is not there cannot be changed.
pub fn no_console() -> Error {
    Error::new(Cause::NotSupported, "the process has no console")
        .at("$.ConsoleSize")
        .hint("Create the process with EmulateConsole.")
}

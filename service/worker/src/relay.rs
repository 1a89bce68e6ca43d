//! A process's standard input, carried from the client's pipe to the process's.
//!
//! Two things must each end the process's input: the client closing its end, and a request to close it while
//! the client's end stays open. One pipe cannot do the second, so there are two, and the worker splices between
//! them. No byte is copied.

use std::os::fd::OwnedFd;

use hcs_core::Error;
use rustix::{
    event::PollFlags,
    fs::OFlags,
    io::Errno,
    pipe::{PipeFlags, SpliceFlags},
};

use crate::output;

/// The worker's two ends.
pub struct Relay {
    /// What the client writes comes out here.
    from_client: OwnedFd,
    /// What goes in here reaches the process.
    to_process: OwnedFd,
    /// The process's pipe is full: wait for room rather than for input.
    full: bool,
}

/// Whether a relay is still needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Yes.
    Open,
    /// Either end is gone; dropping the relay tells the other.
    Ended,
}

/// The most that is moved in one turn, so that other processes get theirs.
const TURN: usize = 1 << 20;

impl Relay {
    /// Makes the client's pipe in front of the process's; returns the client's end too.
    pub fn new(to_process: OwnedFd) -> Result<(Relay, OwnedFd), Error> {
        let (from_client, client) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
            .map_err(|errno| Error::from_errno(errno.raw_os_error(), "making a pipe"))?;
        Ok((Relay { from_client, to_process, full: false }, client))
    }

    /// A fresh end for the client.
    pub fn client_end(&self) -> Result<OwnedFd, Error> {
        output::open(&self.from_client, OFlags::WRONLY)
    }

    /// What to wait for.
    pub fn interest(&self) -> (&OwnedFd, PollFlags) {
        if self.full { (&self.to_process, PollFlags::OUT) } else { (&self.from_client, PollFlags::IN) }
    }

    /// The other end, to notice that the process has closed its input while the client is silent.
    pub fn process_end(&self) -> &OwnedFd {
        &self.to_process
    }

    /// Moves what can be moved.
    pub fn pump(&mut self) -> Flow {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match rustix::pipe::splice(&self.from_client, None, &self.to_process, None, TURN, flags) {
            Ok(0) => Flow::Ended,
            Ok(_) => {
                self.full = false;
                Flow::Open
            }
            // Either there is no input or no room; if input is there, it is room that lacks.
            Err(Errno::AGAIN) => {
                self.full = rustix::io::ioctl_fionread(&self.from_client).is_ok_and(|bytes| bytes > 0);
                Flow::Open
            }
            Err(Errno::INTR) => Flow::Open,
            Err(_) => Flow::Ended,
        }
    }
}

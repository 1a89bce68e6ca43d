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
    /// So much is still delivered, and then the process finds its end, whatever the client does.
    left: Option<usize>,
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
        Ok((Relay { from_client, to_process, full: false, left: None }, client))
    }

    /// A fresh end for the client; none when the input is closed.
    pub fn client_end(&self) -> Result<Option<OwnedFd>, Error> {
        self.left.is_none().then(|| output::open(&self.from_client, OFlags::WRONLY)).transpose()
    }

    /// Ends the input behind what the client has written until now.
    pub fn close(&mut self) -> Flow {
        if self.left.is_none() {
            self.left = Some(self.unread());
        }
        self.pump()
    }

    /// What the client has written and the process does not have yet.
    fn unread(&self) -> usize {
        rustix::io::ioctl_fionread(&self.from_client).map_or(0, |bytes| bytes as usize)
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
        let most = self.left.unwrap_or(TURN).min(TURN);
        if most == 0 {
            return Flow::Ended;
        }
        match rustix::pipe::splice(&self.from_client, None, &self.to_process, None, most, flags) {
            Ok(0) => Flow::Ended,
            Ok(moved) => {
                self.full = false;
                self.left = self.left.map(|left| left.saturating_sub(moved));
                if self.left == Some(0) { Flow::Ended } else { Flow::Open }
            }
            // Either there is no input or no room; if input is there, it is room that lacks.
            Err(Errno::AGAIN) => {
                self.full = self.unread() > 0;
                Flow::Open
            }
            Err(Errno::INTR) => Flow::Open,
            Err(_) => Flow::Ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills a pipe and says how much that was.
    fn fill(pipe: &OwnedFd) -> usize {
        rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK).unwrap();
        let mut written = 0;
        while let Ok(length) = rustix::io::write(pipe, &[b'x'; 4096]) {
            written += length;
        }
        written
    }

    #[test]
    fn what_was_written_before_the_input_is_closed_is_delivered_and_no_more() {
        let (process, to_process) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (mut relay, client) = Relay::new(to_process).unwrap();
        let mut written = fill(&client);
        while relay.unread() > 0 && !relay.full {
            assert_eq!(relay.pump(), Flow::Open);
        }
        written += fill(&client);
        assert_eq!(relay.close(), Flow::Open);
        assert!(relay.client_end().unwrap().is_none());
        let mut read = 0;
        loop {
            let length = rustix::io::read(&process, &mut [0; 8192]).unwrap();
            read += length;
            // The client goes on, and it counts for nothing.
            let _ = rustix::io::write(&client, b"more");
            if relay.pump() == Flow::Ended {
                break;
            }
        }
        drop(relay);
        while let length @ 1.. = rustix::io::read(&process, &mut [0; 8192]).unwrap() {
            read += length;
        }
        assert_eq!(read, written);
    }

    #[test]
    fn input_that_is_closed_while_nothing_is_under_way_ends_at_once() {
        let (_process, to_process) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (mut relay, _client) = Relay::new(to_process).unwrap();
        assert_eq!(relay.close(), Flow::Ended);
    }
}

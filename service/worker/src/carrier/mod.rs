//! What carries streams between a host and the agent in a virtual machine: what they say to each other, and what processes
//! read and say, joined with pipes. Both sides use it, the worker and the agent, and do not know which one it is.
//!
//! - [`Port`]: a port of the machine, in whose bytes there are many streams.
//! - [`Sockets`]: a socket for each stream, for agents that know only these.
//!
//! Nothing here waits, but for a call of the agent. Whoever has one polls what [`Carrier::interest`] tells and says what is
//! ready; what comes and is for no pipe is told by [`Carrier::next_told`].

mod port;
mod sockets;

use std::os::fd::{BorrowedFd, OwnedFd};

use hcs_core::{Error, ready};
use hcs_mux::{Event, Stream};
use rustix::event::PollFlags;

pub use self::{
    port::Port,
    sockets::{Call, Sockets},
};

/// What is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The port of the machine.
    Port,
    /// Where calls come in for a port.
    Listener(u32),
    /// The socket of a stream.
    Socket(Stream),
    /// The pipe that a stream is joined with.
    Pipe(Stream),
}

/// What is to be known.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// Something has happened to the session, or to a stream that is joined with no pipe.
    Happened(Event),
    /// A stream and its pipe have come to their end, and each has all of the other.
    Parted(Stream),
}

/// The port is gone.
#[derive(Debug)]
pub struct Cut;

/// What is to be polled, and for what.
pub type Interest<'a> = Box<dyn Iterator<Item = (Which, BorrowedFd<'a>, PollFlags)> + 'a>;

/// Either of them.
pub trait Carrier {
    /// What is to be polled. What is at its end is not, as it would always be ready.
    fn interest(&self) -> Interest<'_>;

    /// Something can be done there.
    fn ready(&mut self, which: Which) -> Result<(), Cut>;

    /// The next that is to be known.
    fn next_told(&mut self) -> Option<Told>;

    /// Wants a stream to a port of the host; where nobody gives one there is none.
    fn open(&mut self, port: u32) -> Option<Stream>;

    /// A stream is expected at this port, once. It is told as wanted, or found by [`Carrier::admit`].
    fn expect(&mut self, port: u32) -> Result<(), Error>;

    /// It is not expected any more.
    fn expect_no_more(&mut self, port: u32);

    /// The stream that is expected there, if it has come and was not told yet. For an agent that has answered when it had called.
    fn admit(&mut self, port: u32) -> Option<Stream>;

    /// Gives the other side the stream that it wants, joined with a pipe that is read.
    fn accept_source(&mut self, stream: Stream, pipe: OwnedFd);

    /// Gives the other side the stream that it wants, joined with a pipe that is written.
    fn accept_sink(&mut self, stream: Stream, pipe: OwnedFd);

    /// Gives the other side the stream that it wants, for somebody here to speak by it.
    fn accept_talk(&mut self, stream: Stream);

    /// Sends by the stream what is said into this pipe. The pipe of a stream that is gone already is closed.
    fn join_source(&mut self, stream: Stream, pipe: OwnedFd);

    /// Writes what comes by the stream into this pipe. The pipe of a stream that is gone already is closed.
    fn join_sink(&mut self, stream: Stream, pipe: OwnedFd);

    /// Somebody here speaks by the stream, with [`Carrier::say`].
    fn join_talk(&mut self, stream: Stream);

    /// Says something by a stream that somebody here speaks by.
    fn say(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Cut>;

    /// How much was said by a stream that the other side has not taken yet.
    fn unsent(&self, stream: Stream) -> usize;

    /// Everything that was said into the pipe until now is sent, as the other side takes it, and then the end.
    fn finish_source(&mut self, stream: Stream) -> Result<(), Cut>;

    /// Who speaks at the other end has come to the end: what is under way is taken soon, though nobody may read it for long.
    fn take_rest(&mut self, stream: Stream);

    /// Ends a stream at once, or refuses it.
    fn reset(&mut self, stream: Stream);

    /// A descriptor of the pipe that a stream is joined with; none where the end is said already.
    fn pipe_of(&self, stream: Stream) -> Option<&OwnedFd>;

    /// Whether everything that was said into the pipe of a stream until now is sent, or nobody takes it there.
    fn is_drained(&self, stream: Stream) -> bool;

    /// Nothing comes any more: who reads a pipe finds its end.
    fn close(&mut self);
}

/// How often one is read before the others get their turn.
const TURN: usize = 8;

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// Whether everybody who could read from a pipe, or has a console open, has closed it.
fn has_no_reader(pipe: &OwnedFd) -> bool {
    let ends = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    ready::now(pipe, PollFlags::empty()).is_ok_and(|found| found.intersects(ends))
}

/// For the tests of both: does what can be done at once.
#[cfg(test)]
fn turn(carrier: &mut dyn Carrier) {
    use rustix::event::{PollFd, Timespec, poll};

    let (which, mut polled): (Vec<Which>, Vec<_>) =
        carrier.interest().map(|(which, fd, wanted)| (which, PollFd::from_borrowed_fd(fd, wanted))).unzip();
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
    let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
    for (which, _) in which.into_iter().zip(ready).filter(|(_, ready)| *ready) {
        carrier.ready(which).unwrap();
    }
}

//! The port between a host and the agent in a virtual machine: its bytes, the streams in them, and the pipes that those are
//! joined with. Both sides use it, the worker and the agent.
//!
//! Nothing here waits. Whoever has one polls what [`Carrier::interest`] tells and says what is ready; what comes and is for
//! no pipe is told by [`Carrier::next_told`].

use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use hcs_core::ready;
use hcs_mux::{Event, Mux, Session, Stream, frame};
use rustix::{event::PollFlags, fs::OFlags, io::Errno};

/// What is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The port itself.
    Port,
    /// The pipe that a stream is joined with.
    Pipe(Stream),
}

/// What is to be known of the port.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// Something has happened to the session, or to a stream that is joined with no pipe.
    Happened(Event),
    /// A stream and its pipe have come to their end, and each has all of the other.
    Parted(Stream),
}

/// What becomes of pipes whose stream is lost with its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtLoss {
    /// They are closed.
    Close,
    /// What is said into them is taken and forgotten, so that nobody dies of saying it.
    Drain,
}

/// What a stream is joined with.
enum Joint {
    /// What is read from the pipe is sent; where it is known how much there is, the end follows that.
    Source { pipe: OwnedFd, left: Option<usize> },
    /// What comes is written into the pipe.
    Sink { pipe: OwnedFd, waiting: VecDeque<Vec<u8>>, written: usize, is_over: bool },
    /// Somebody here speaks by it.
    Talk { unsent: Vec<u8> },
}

/// The port.
pub struct Carrier {
    port: OwnedFd,
    mux: Mux,
    joints: BTreeMap<Stream, Joint>,
    /// Pipes that are read though nobody is there.
    drained: Vec<OwnedFd>,
    at_loss: AtLoss,
    told: VecDeque<Told>,
    /// The port takes nothing more for now.
    is_full: bool,
    /// Nothing comes any more.
    is_closed: bool,
    buffer: Vec<u8>,
}

/// The port is gone.
#[derive(Debug)]
pub struct Cut;

/// How often a pipe is read before the others get their turn.
const TURN: usize = 8;

/// How much is read at once.
const PIECE: usize = 64 << 10;

impl Carrier {
    /// The side of the host. A session begins at once.
    pub fn host(port: OwnedFd) -> Result<Carrier, Errno> {
        let mut carrier = Carrier::new(port, Mux::host(), AtLoss::Close)?;
        carrier.begin()?;
        Ok(carrier)
    }

    /// The side of the guest.
    pub fn guest(port: OwnedFd) -> Result<Carrier, Errno> {
        Carrier::new(port, Mux::guest(), AtLoss::Drain)
    }

    fn new(port: OwnedFd, mux: Mux, at_loss: AtLoss) -> Result<Carrier, Errno> {
        set_nonblocking(&port)?;
        Ok(Carrier {
            port,
            mux,
            joints: BTreeMap::new(),
            drained: Vec::new(),
            at_loss,
            told: VecDeque::new(),
            is_full: false,
            is_closed: false,
            buffer: vec![0; PIECE],
        })
    }

    /// Begins another session.
    fn begin(&mut self) -> Result<(), Errno> {
        let mut session = Session::default();
        let all = rustix::rand::getrandom(&mut session[..], rustix::rand::GetRandomFlags::empty())?;
        if all != session.len() {
            return Err(Errno::IO);
        }
        self.mux.begin(session);
        Ok(())
    }

    /// What is to be polled. A port at its end is always ready, and nobody would ever wait again.
    pub fn interest(&self) -> impl Iterator<Item = (Which, BorrowedFd<'_>, PollFlags)> {
        let busy = !self.mux.output().is_empty();
        let port = if busy { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let pipes = self.joints.iter().filter_map(|(stream, joint)| match joint {
            Joint::Source { pipe, .. } => {
                let may = self.mux.room(*stream) > 0;
                may.then(|| (Which::Pipe(*stream), pipe.as_fd(), PollFlags::IN))
            }
            Joint::Sink { pipe, waiting, .. } => {
                // No events means that only the end of its reader is told.
                let wanted = if waiting.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
                Some((Which::Pipe(*stream), pipe.as_fd(), wanted))
            }
            Joint::Talk { .. } => None,
        });
        let drained = self.drained.iter().map(|pipe| (Which::Port, pipe.as_fd(), PollFlags::IN));
        let port = (!self.is_closed).then(|| (Which::Port, self.port.as_fd(), port));
        port.into_iter().chain(pipes).chain(drained)
    }

    /// Something can be done there.
    pub fn ready(&mut self, which: Which) -> Result<(), Cut> {
        match which {
            Which::Port => {
                self.is_full = false;
                self.drain();
                self.hear()?;
            }
            Which::Pipe(stream) => self.move_on(stream),
        }
        self.flush()
    }

    /// The next that is to be known.
    pub fn next_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// Wants a stream to a port of the other side; without a session there is none.
    pub fn open(&mut self, port: u32) -> Option<Stream> {
        self.mux.open(port)
    }

    /// Gives the other side the stream that it wants, joined with a pipe that is read.
    pub fn accept_source(&mut self, stream: Stream, pipe: OwnedFd) {
        self.mux.accept(stream);
        self.join_source(stream, pipe);
    }

    /// Gives the other side the stream that it wants, joined with a pipe that is written.
    pub fn accept_sink(&mut self, stream: Stream, pipe: OwnedFd) {
        self.mux.accept(stream);
        self.join_sink(stream, pipe);
    }

    /// Gives the other side the stream that it wants, for somebody here to speak by it.
    pub fn accept_talk(&mut self, stream: Stream) {
        self.mux.accept(stream);
        self.join_talk(stream);
    }

    /// Sends by the stream what is said into this pipe. The pipe of a stream that is gone already is closed.
    pub fn join_source(&mut self, stream: Stream, pipe: OwnedFd) {
        self.join(stream, pipe, |pipe| Joint::Source { pipe, left: None });
    }

    /// Writes what comes by the stream into this pipe. The pipe of a stream that is gone already is closed.
    pub fn join_sink(&mut self, stream: Stream, pipe: OwnedFd) {
        let sink = |pipe| Joint::Sink { pipe, waiting: VecDeque::new(), written: 0, is_over: false };
        self.join(stream, pipe, sink);
    }

    fn join(&mut self, stream: Stream, pipe: OwnedFd, joint: impl FnOnce(OwnedFd) -> Joint) {
        // One that cannot be read or written without waiting would stop everything.
        match set_nonblocking(&pipe) {
            Ok(()) if self.mux.has(stream) => drop(self.joints.insert(stream, joint(pipe))),
            _ => self.reset(stream),
        }
    }

    /// Somebody here speaks by the stream, with [`Carrier::say`].
    pub fn join_talk(&mut self, stream: Stream) {
        self.joints.insert(stream, Joint::Talk { unsent: Vec::new() });
    }

    /// Says something by a stream that somebody here speaks by.
    pub fn say(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Cut> {
        if let Some(Joint::Talk { unsent }) = self.joints.get_mut(&stream) {
            unsent.extend_from_slice(bytes);
            self.speak(stream);
        }
        self.flush()
    }

    /// How much was said by a stream that the other side has not taken yet.
    pub fn unsent(&self, stream: Stream) -> usize {
        match self.joints.get(&stream) {
            Some(Joint::Talk { unsent }) => unsent.len(),
            _ => 0,
        }
    }

    /// Everything that was said into the pipe until now is sent, as the other side takes it, and then the end.
    pub fn finish_source(&mut self, stream: Stream) -> Result<(), Cut> {
        if let Some(Joint::Source { pipe, left }) = self.joints.get_mut(&stream) {
            let said = rustix::io::ioctl_fionread(&*pipe).map_or(0, |bytes| bytes as usize);
            left.get_or_insert(said);
            self.move_on(stream);
        }
        self.flush()
    }

    /// Ends a stream at once, or refuses it.
    pub fn reset(&mut self, stream: Stream) {
        self.joints.remove(&stream);
        self.mux.reset(stream);
    }

    /// A descriptor of the pipe that a stream is joined with; none where the end is said already.
    pub fn pipe_of(&self, stream: Stream) -> Option<&OwnedFd> {
        match self.joints.get(&stream)? {
            Joint::Source { pipe, left: None } | Joint::Sink { pipe, .. } => Some(pipe),
            Joint::Source { .. } | Joint::Talk { .. } => None,
        }
    }

    /// Whether everything that was said into the pipe of a stream until now is sent, or nobody takes it there.
    pub fn is_drained(&self, stream: Stream) -> bool {
        match self.joints.get(&stream) {
            Some(Joint::Source { pipe, .. }) => {
                self.mux.room(stream) == 0 || rustix::io::ioctl_fionread(pipe).is_ok_and(|bytes| bytes == 0)
            }
            _ => true,
        }
    }

    /// Nothing comes any more: who reads a pipe finds its end.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.joints.clear();
    }

    fn hear(&mut self) -> Result<(), Cut> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let heard = loop {
            match rustix::io::read(&self.port, &mut buffer) {
                Ok(0) => break Err(Cut),
                Ok(length) => {
                    self.mux.push(&buffer[..length]);
                    self.take_events();
                    // The others get their turn.
                    break Ok(());
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break Ok(()),
                Err(_) => break Err(Cut),
            }
        };
        self.buffer = buffer;
        heard
    }

    fn take_events(&mut self) {
        while let Some(event) = self.mux.next_event() {
            match event {
                Event::Lost => {
                    self.lose();
                    self.told.push_back(Told::Happened(Event::Lost));
                }
                Event::Data(stream, bytes) => match self.joints.get_mut(&stream) {
                    Some(Joint::Sink { waiting, .. }) => {
                        waiting.push_back(bytes);
                        self.move_on(stream);
                    }
                    _ => {
                        self.mux.took(stream, bytes.len());
                        self.told.push_back(Told::Happened(Event::Data(stream, bytes)));
                    }
                },
                Event::Ended(stream) => match self.joints.get_mut(&stream) {
                    Some(Joint::Sink { is_over, .. }) => {
                        *is_over = true;
                        self.move_on(stream);
                    }
                    // Who only listens has nothing to say at any time.
                    Some(Joint::Source { .. }) => {}
                    _ => self.told.push_back(Told::Happened(Event::Ended(stream))),
                },
                Event::Gone(stream) => match self.joints.get(&stream) {
                    Some(Joint::Source { .. } | Joint::Sink { .. }) => self.part(stream),
                    _ => {
                        self.joints.remove(&stream);
                        self.told.push_back(Told::Happened(Event::Gone(stream)));
                    }
                },
                other => self.told.push_back(Told::Happened(other)),
            }
        }
        let talks: Vec<Stream> = self
            .joints
            .iter()
            .filter(|(_, joint)| matches!(joint, Joint::Talk { unsent } if !unsent.is_empty()))
            .map(|(stream, _)| *stream)
            .collect();
        talks.into_iter().for_each(|stream| self.speak(stream));
    }

    fn lose(&mut self) {
        for joint in std::mem::take(&mut self.joints).into_values() {
            if let (Joint::Source { pipe, .. }, AtLoss::Drain) = (joint, self.at_loss) {
                self.drained.push(pipe);
            }
        }
        if self.at_loss == AtLoss::Close && self.begin().is_err() {
            // Without random numbers there is no session; the guest asks again, and then there may be some.
            hcs_core::complain!("hcs-worker: no session with the guest can begin");
        }
    }

    fn speak(&mut self, stream: Stream) {
        if let Some(Joint::Talk { unsent }) = self.joints.get_mut(&stream) {
            let sent = self.mux.send(stream, unsent);
            unsent.drain(..sent);
        }
    }

    /// Moves what can be moved between a stream and its pipe.
    fn move_on(&mut self, stream: Stream) {
        match self.joints.get_mut(&stream) {
            Some(Joint::Source { pipe, left }) => {
                // Nobody tells of the end where it is known.
                if *left == Some(0) {
                    return self.end_source(stream);
                }
                for _ in 0..TURN {
                    let room = self.mux.room(stream).min(frame::MOST).min(left.unwrap_or(usize::MAX));
                    if room == 0 {
                        return;
                    }
                    match rustix::io::read(&*pipe, &mut self.buffer[..room]) {
                        Ok(0) => return self.end_source(stream),
                        Ok(length) => {
                            *left = left.map(|left| left - length);
                            let is_over = *left == Some(0);
                            self.mux.send(stream, &self.buffer[..length]);
                            if is_over {
                                return self.end_source(stream);
                            }
                        }
                        Err(Errno::INTR) => continue,
                        Err(Errno::AGAIN) => return,
                        // So ends a console when nobody has it open any more.
                        Err(_) => return self.end_source(stream),
                    }
                }
            }
            Some(Joint::Sink { pipe, waiting, written, is_over }) => {
                while let Some(piece) = waiting.front() {
                    match rustix::io::write(&*pipe, &piece[*written..]) {
                        Ok(length) => {
                            *written += length;
                            if *written == piece.len() {
                                self.mux.took(stream, piece.len());
                                *written = 0;
                                waiting.pop_front();
                            }
                        }
                        Err(Errno::INTR) => {}
                        Err(Errno::AGAIN) => return,
                        Err(_) => return self.forsake(stream),
                    }
                }
                if *is_over {
                    self.part(stream);
                    self.mux.end(stream);
                } else if has_no_reader(pipe) {
                    self.forsake(stream);
                }
            }
            _ => {}
        }
    }

    fn end_source(&mut self, stream: Stream) {
        self.part(stream);
        self.mux.end(stream);
    }

    /// Nobody reads what comes by this stream any more.
    fn forsake(&mut self, stream: Stream) {
        self.part(stream);
        self.mux.reset(stream);
    }

    fn part(&mut self, stream: Stream) {
        if self.joints.remove(&stream).is_some() {
            self.told.push_back(Told::Parted(stream));
        }
    }

    fn drain(&mut self) {
        let buffer = &mut self.buffer;
        self.drained.retain(|pipe| {
            !matches!(rustix::io::read(pipe, &mut *buffer), Ok(0) | Err(Errno::IO | Errno::PIPE))
        });
    }

    fn flush(&mut self) -> Result<(), Cut> {
        while !self.is_full && !self.mux.output().is_empty() {
            match rustix::io::write(&self.port, self.mux.output()) {
                Ok(length) => self.mux.sent(length),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.is_full = true,
                Err(_) => return Err(Cut),
            }
        }
        Ok(())
    }
}

fn set_nonblocking(file: &OwnedFd) -> Result<(), Errno> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    rustix::fs::fcntl_setfl(file, flags | OFlags::NONBLOCK)
}

/// Whether everybody who could read from a pipe, or has a console open, has closed it.
fn has_no_reader(pipe: &OwnedFd) -> bool {
    let ends = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    ready::now(pipe, PollFlags::empty()).is_ok_and(|found| found.intersects(ends))
}

#[cfg(test)]
#[path = "carrier_tests.rs"]
mod tests;

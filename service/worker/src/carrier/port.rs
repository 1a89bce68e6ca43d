//! The port between a host and the agent in a virtual machine: its bytes, the streams in them, and the pipes that those are
//! joined with.

use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::{AsFd, OwnedFd},
};

use hcs_core::{Error, random, ready};
use hcs_mux::{Event, Mux, Stream, frame};
use rustix::{event::PollFlags, io::Errno};

use super::{Carrier, Cut, Interest, PIECE, TURN, Told, Which, has_no_reader};

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
pub struct Port {
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

impl Port {
    /// The side of the host. A session begins at once.
    pub fn host(port: OwnedFd) -> Result<Port, Errno> {
        let mut carrier = Port::new(port, Mux::host(), AtLoss::Close)?;
        carrier.begin()?;
        Ok(carrier)
    }

    /// The side of the guest.
    pub fn guest(port: OwnedFd) -> Result<Port, Errno> {
        Port::new(port, Mux::guest(), AtLoss::Drain)
    }

    fn new(port: OwnedFd, mux: Mux, at_loss: AtLoss) -> Result<Port, Errno> {
        ready::set_nonblocking(&port)?;
        Ok(Port {
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
        self.mux.begin(random::bytes()?);
        Ok(())
    }

    fn join(&mut self, stream: Stream, pipe: OwnedFd, joint: impl FnOnce(OwnedFd) -> Joint) {
        // One that cannot be read or written without waiting would stop everything.
        match ready::set_nonblocking(&pipe) {
            Ok(()) if self.mux.has(stream) => drop(self.joints.insert(stream, joint(pipe))),
            _ => self.reset(stream),
        }
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

impl Carrier for Port {
    fn interest(&self) -> Interest<'_> {
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
        Box::new(port.into_iter().chain(pipes).chain(drained))
    }

    fn ready(&mut self, which: Which) -> Result<(), Cut> {
        match which {
            Which::Port => {
                self.is_full = false;
                self.drain();
                self.hear()?;
            }
            Which::Pipe(stream) => self.move_on(stream),
            Which::Listener(_) | Which::Socket(_) => {}
        }
        self.flush()
    }

    fn next_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    fn open(&mut self, port: u32) -> Option<Stream> {
        self.mux.open(port)
    }

    // Who asks for a stream says so in order with everything else, so nobody has to be expected.
    fn expect(&mut self, _: u32) -> Result<(), Error> {
        Ok(())
    }

    fn expect_no_more(&mut self, _: u32) {}

    fn admit(&mut self, _: u32) -> Option<Stream> {
        None
    }

    fn accept_source(&mut self, stream: Stream, pipe: OwnedFd) {
        self.mux.accept(stream);
        self.join_source(stream, pipe);
    }

    fn accept_sink(&mut self, stream: Stream, pipe: OwnedFd) {
        self.mux.accept(stream);
        self.join_sink(stream, pipe);
    }

    fn accept_talk(&mut self, stream: Stream) {
        self.mux.accept(stream);
        self.join_talk(stream);
    }

    fn join_source(&mut self, stream: Stream, pipe: OwnedFd) {
        self.join(stream, pipe, |pipe| Joint::Source { pipe, left: None });
    }

    fn join_sink(&mut self, stream: Stream, pipe: OwnedFd) {
        let sink = |pipe| Joint::Sink { pipe, waiting: VecDeque::new(), written: 0, is_over: false };
        self.join(stream, pipe, sink);
    }

    fn join_talk(&mut self, stream: Stream) {
        self.joints.insert(stream, Joint::Talk { unsent: Vec::new() });
    }

    fn say(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Cut> {
        if let Some(Joint::Talk { unsent }) = self.joints.get_mut(&stream) {
            unsent.extend_from_slice(bytes);
            self.speak(stream);
        }
        self.flush()
    }

    fn unsent(&self, stream: Stream) -> usize {
        match self.joints.get(&stream) {
            Some(Joint::Talk { unsent }) => unsent.len(),
            _ => 0,
        }
    }

    fn finish_source(&mut self, stream: Stream) -> Result<(), Cut> {
        if let Some(Joint::Source { pipe, left }) = self.joints.get_mut(&stream) {
            let said = rustix::io::ioctl_fionread(&*pipe).map_or(0, |bytes| bytes as usize);
            left.get_or_insert(said);
            self.move_on(stream);
        }
        self.flush()
    }

    // It has its credit, which nobody takes back.
    fn take_rest(&mut self, _: Stream) {}

    fn reset(&mut self, stream: Stream) {
        self.joints.remove(&stream);
        self.mux.reset(stream);
    }

    fn pipe_of(&self, stream: Stream) -> Option<&OwnedFd> {
        match self.joints.get(&stream)? {
            Joint::Source { pipe, left: None } | Joint::Sink { pipe, .. } => Some(pipe),
            Joint::Source { .. } | Joint::Talk { .. } => None,
        }
    }

    fn is_drained(&self, stream: Stream) -> bool {
        match self.joints.get(&stream) {
            Some(Joint::Source { pipe, .. }) => {
                self.mux.room(stream) == 0 || rustix::io::ioctl_fionread(pipe).is_ok_and(|bytes| bytes == 0)
            }
            _ => true,
        }
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.joints.clear();
    }
}

#[cfg(test)]
#[path = "port_tests.rs"]
mod tests;

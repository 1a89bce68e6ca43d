//! The bytes of one guest's mount.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use hcs_p9::{Frames, LEAST};
use rustix::{event::PollFlags, io::Errno};

use crate::{
    place::Place,
    session::{MOST, Session},
};

/// How many messages are answered before the others get their turn.
const TURN: usize = 16;

/// How much is read at once.
const PIECE: usize = MOST as usize;

/// How much may wait to be sent before nothing more is answered.
const ENOUGH: usize = 4 * MOST as usize;

/// A connection.
pub struct Connection {
    socket: OwnedFd,
    frames: Frames,
    session: Session,
    unsent: Vec<u8>,
}

/// It is over: the guest has hung up, or says what nobody can understand.
#[derive(Debug)]
pub struct Over;

impl Connection {
    /// With somebody who has just connected.
    pub fn new(socket: OwnedFd, place: Rc<Place>) -> Connection {
        // What comes first agrees on how long a message may be, and has no need to be long itself.
        Connection { socket, frames: Frames::new(LEAST), session: Session::new(place), unsent: Vec::new() }
    }

    /// For the poll.
    pub fn interest(&self) -> (BorrowedFd<'_>, PollFlags) {
        let mut wanted = PollFlags::empty();
        if !self.unsent.is_empty() {
            wanted |= PollFlags::OUT;
        }
        if !self.frames.has_message() && self.unsent.len() < ENOUGH {
            wanted |= PollFlags::IN;
        }
        (self.socket.as_fd(), wanted)
    }

    /// Whether there is something to do though nothing comes.
    pub fn has_work(&self) -> bool {
        self.frames.has_message() && self.unsent.len() < ENOUGH
    }

    /// Does what can be done without waiting for the guest.
    pub fn turn(&mut self, buffer: &mut Vec<u8>) -> Result<(), Over> {
        self.send()?;
        if !self.frames.has_message() && self.unsent.len() < ENOUGH {
            buffer.resize(PIECE, 0);
            match rustix::io::read(&self.socket, &mut buffer[..]) {
                Ok(0) => return Err(Over),
                Ok(length) => self.frames.push(&buffer[..length]),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return Err(Over),
            }
        }
        for _ in 0..TURN {
            if self.unsent.len() >= ENOUGH {
                break;
            }
            let Some(message) = self.frames.take().map_err(|_| Over)? else { break };
            self.session.answer(&message, &mut self.unsent);
            self.frames.limit(self.session.most());
        }
        self.send()
    }

    fn send(&mut self) -> Result<(), Over> {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match rustix::io::write(&self.socket, &self.unsent[sent..]) {
                Ok(length) => sent += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return Err(Over),
            }
        }
        self.unsent.drain(..sent);
        Ok(())
    }

    /// How much waits for the guest to take it.
    #[cfg(test)]
    pub fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Shares may have gone.
    pub fn look_again(&mut self) {
        self.session.look_again();
    }
}

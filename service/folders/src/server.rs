//! The loop: who connects, what they ask, and what becomes of the shares.

use std::{os::fd::OwnedFd, rc::Rc};

use hcs_core::ready;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::SocketFlags,
};

use crate::{
    connection::{Connection, Over},
    place::Place,
};

/// How many mounts a guest may have here.
const MOST: usize = 256;

/// How long nobody is let in after somebody could not be.
const PAUSE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// What is served, and to whom.
pub struct Server {
    listener: OwnedFd,
    place: Rc<Place>,
    connections: Vec<Connection>,
    /// Nobody could be let in: there is a pause before the next is.
    rests: bool,
    /// That was told. A guest must not fill the disk of its host with it.
    has_complained: bool,
    buffer: Vec<u8>,
}

impl Server {
    /// Somebody must run it.
    pub fn new(listener: OwnedFd, place: Place) -> Result<Server, Errno> {
        ready::set_nonblocking(&listener)?;
        Ok(Server {
            listener,
            place: Rc::new(place),
            connections: Vec::new(),
            rests: false,
            has_complained: false,
            buffer: Vec::new(),
        })
    }

    /// Serves for ever.
    pub fn run(mut self) -> Result<(), Errno> {
        loop {
            self.turn(None)?;
        }
    }

    /// Waits, at most so long, and does what there is to do.
    fn turn(&mut self, most: Option<Timespec>) -> Result<(), Errno> {
        let rests = std::mem::take(&mut self.rests);
        let lets_in = !rests && self.connections.len() < MOST;
        let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
        let has_work = self.connections.iter().any(Connection::has_work);
        let waits = if has_work {
            Some(nothing)
        } else if rests {
            Some(PAUSE)
        } else {
            most
        };
        let mut polled = vec![
            PollFd::from_borrowed_fd(self.place.table(), PollFlags::PRI),
            PollFd::new(&self.listener, if lets_in { PollFlags::IN } else { PollFlags::empty() }),
        ];
        polled.extend(self.connections.iter().map(|connection| {
            let (socket, wanted) = connection.interest();
            PollFd::from_borrowed_fd(socket, wanted)
        }));
        match poll(&mut polled, waits.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno),
        }
        let ready: Vec<bool> = polled.iter().map(|one| !one.revents().is_empty()).collect();
        if ready[0] {
            self.connections.iter_mut().for_each(Connection::look_again);
        }
        let mut index = 1;
        self.connections.retain_mut(|connection| {
            index += 1;
            let has_turn = ready[index] || connection.has_work();
            !has_turn || !matches!(connection.turn(&mut self.buffer), Err(Over))
        });
        if ready[1] {
            self.let_in()?;
        }
        Ok(())
    }

    fn let_in(&mut self) -> Result<(), Errno> {
        match rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => self.connections.push(Connection::new(socket, self.place.clone())),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
            // The guest has as many files open as there can be, and one mount has to do without.
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => self.drop_oldest(),
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// Whoever calls must not be ready for ever.
    fn drop_oldest(&mut self) {
        if !std::mem::replace(&mut self.has_complained, true) {
            hcs_core::complain!(
                "hcs-worker: shared folders: too many files are open; mounts of the guest are cut off"
            );
        }
        if !self.connections.is_empty() {
            drop(self.connections.remove(0));
        }
        self.rests = true;
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

//! The loop: what QEMU asks, what the guest says, and what comes from the sockets of the host.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use hcs_core::ready;
use hcs_machine::sockets::LAST_WORDS;
use hcs_vhost::Broken;
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
};

use crate::{
    device::{Device, Done},
    table::{Ports, Table, Which},
    talk::{Over, Talk},
};

/// How many packets the guest says, and each connection, before the others get their turn.
const TURN: usize = 32;
/// The most bytes of a packet to the guest.
const LONGEST: usize = 64 << 10;

/// All of it.
pub struct Server {
    talk: Talk,
    device: Device,
    table: Table,
    buffer: Vec<u8>,
    /// What the driver has done cannot be; nothing is heard of it until there is another.
    is_broken: bool,
    /// The guest has said more than was heard in its turn: nothing will tell of it again.
    is_behind: bool,
    /// When something was tried again that nothing tells of.
    tried: Instant,
    /// Who was read last. Those behind have their turn first.
    read_last: Option<Ports>,
}

impl Server {
    /// For the QEMU at this socket.
    pub fn new(qemu: OwnedFd, table: Table) -> Server {
        Server {
            talk: Talk::by(qemu),
            device: Device::default(),
            table,
            buffer: Vec::new(),
            is_broken: false,
            is_behind: false,
            tried: Instant::now(),
            read_last: None,
        }
    }

    /// Serves until QEMU is gone, and what was left then, if it is taken soon.
    pub fn run(mut self) -> Result<(), Errno> {
        while self.turn()? {}
        self.table.forget();
        let deadline = Instant::now() + LAST_WORDS;
        while self.table.has_rests() && Instant::now() < deadline {
            let rests = self.table.rests();
            let rests =
                rests.map(|(number, socket)| (number, PollFd::from_borrowed_fd(socket, PollFlags::OUT)));
            let (known, mut polled): (Vec<_>, Vec<_>) = rests.unzip();
            ready::any_until(&mut polled, Some(deadline))?;
            let happened: Vec<PollFlags> = polled.iter().map(PollFd::revents).collect();
            for (number, _) in known.into_iter().zip(happened).filter(|(_, happened)| !happened.is_empty()) {
                self.table.pass_on(number);
            }
        }
        Ok(())
    }

    /// Waits, and does what there is to do; whether QEMU is still there.
    fn turn(&mut self) -> Result<bool, Errno> {
        let guest_hears = self.device_works()
            && self.or_broken(|server| server.device.room()).flatten().is_some_and(|room| room > 0);
        let mut polled = vec![PollFd::new(&self.talk, PollFlags::IN)];
        if !self.is_broken {
            polled.extend(self.device.bells().map(|bell| PollFd::from_borrowed_fd(bell, PollFlags::IN)));
        }
        let (own, mut known) = (polled.len(), Vec::new());
        for (which, socket, wanted) in self.table.interest(guest_hears) {
            known.push(which);
            polled.push(PollFd::from_borrowed_fd(socket, wanted));
        }
        let is_behind = std::mem::take(&mut self.is_behind);
        let most = if is_behind { Some(Duration::ZERO) } else { self.table.patience() };
        ready::any_until(&mut polled, most.map(|most| Instant::now() + most))?;
        let happened: Vec<PollFlags> = polled.iter().map(PollFd::revents).collect();
        let (own, sockets) = happened.split_at(own);
        if !own[0].is_empty() && !self.hear_qemu() {
            return Ok(false);
        }
        if own[1..].iter().any(|bell| !bell.is_empty()) {
            self.device.silence_bells();
        }
        let mut readable = Vec::new();
        for (which, &happened) in known.into_iter().zip(sockets).filter(|(_, happened)| !happened.is_empty())
        {
            self.table.ready(which, happened, self.device.has_driver() && !self.is_broken);
            if let Which::Connection(ports) = which
                && happened.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
            {
                readable.push(ports);
            }
        }
        if self.table.patience().is_some_and(|patience| self.tried.elapsed() >= patience) {
            self.table.try_again();
            self.tried = Instant::now();
        }
        if self.device_works() {
            self.or_broken(|server| server.converse(readable));
        }
        Ok(true)
    }

    fn device_works(&self) -> bool {
        !self.is_broken && self.device.runs()
    }

    /// What fails is the driver's fault, and ends what it can do.
    fn or_broken<T>(&mut self, act: impl FnOnce(&mut Server) -> Result<T, Broken>) -> Option<T> {
        match act(self) {
            Ok(done) => Some(done),
            Err(broken) => {
                hcs_core::complain!("hcs-worker: sockets: {broken}; no more is heard of this guest");
                self.is_broken = true;
                self.table.forget();
                None
            }
        }
    }

    /// Does what QEMU asks; whether it is still there.
    fn hear_qemu(&mut self) -> bool {
        let mut asked = || -> Result<Done, Over> {
            let (header, request, files) = self.talk.hear()?;
            let done = self.device.asked(request, files);
            if let Err(broken) = &done {
                hcs_core::complain!("hcs-worker: sockets: {broken}");
            }
            let is_done = done.is_ok();
            let done = done.unwrap_or_default();
            match &done.answer {
                Some(answer) => self.talk.answer(&header.answer(answer))?,
                None if header.wants_answer() => {
                    self.talk.answer(&header.answer(&u64::from(!is_done).to_le_bytes()))?;
                }
                None => {}
            }
            Ok(done)
        };
        match asked() {
            Ok(done) => {
                if done.is_new_driver || (done.begins && self.is_broken) {
                    self.table.forget();
                    self.is_broken = false;
                }
                true
            }
            Err(Over::HungUp) => false,
            Err(Over::Broken(broken)) => {
                hcs_core::complain!("hcs-worker: sockets: {broken}");
                false
            }
        }
    }

    /// What the guest says, and what it is told: words first, as they make room. Those that can be read are in the order of their
    /// ports; where the guest has no room for all of them, the next turn begins with the next.
    fn converse(&mut self, mut readable: Vec<Ports>) -> Result<(), Broken> {
        for _ in 0..TURN {
            if !self.table.hears() {
                break;
            }
            let Some(header) = self.device.hear(&mut self.buffer)? else { break };
            self.table.hear(&header, &self.buffer);
        }
        self.say_words()?;
        let next = readable.partition_point(|ports| Some(*ports) <= self.read_last);
        readable.rotate_left(next);
        'all: for ports in readable {
            for _ in 0..TURN {
                let Some(room) = self.device.room()? else { break 'all };
                self.read_last = Some(ports);
                self.buffer.resize(room.min(LONGEST), 0);
                let Some(header) = self.table.read(ports, &mut self.buffer) else { break };
                self.device.say(&header, &self.buffer[..header.length as usize])?;
            }
        }
        self.say_words()?;
        self.is_behind = self.table.hears() && self.device.has_said()?;
        self.device.call()
    }

    fn say_words(&mut self) -> Result<(), Broken> {
        while self.device.room()?.is_some() {
            let Some(word) = self.table.next_word() else { break };
            self.device.say(&word, &[])?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

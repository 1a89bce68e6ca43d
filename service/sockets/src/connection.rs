//! The bytes of one connection: on the host a socket, in the guest a stream with credit on both sides.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use hcs_core::ready;
use hcs_vhost::packet::{HEARS_NO_MORE, Header, SAYS_NO_MORE, STREAM, operation};
use rustix::{event::PollFlags, io::Errno, net::Shutdown};

/// A connection.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    stage: Stage,
    /// What the guest has said and the socket has not taken, and how much of that may wait.
    waiting: VecDeque<u8>,
    room: u32,
    /// How much the guest has said, how much of that the socket has taken, and of how much of that the guest was told.
    heard: u32,
    passed: u32,
    told: u32,
    /// It is to be told, and was not yet.
    owes_credit: bool,
    guest: Side,
    host: Side,
    /// How much the guest was told, how much it has room for, and how much of what it was told it has used.
    said: u32,
    guest_room: u32,
    guest_used: u32,
    /// The guest was asked for room and has not answered.
    has_asked: bool,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The guest was asked whether it wants it.
    Wanted,
    Open,
}

/// What one side will still do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Side {
    says_no_more: bool,
    hears_no_more: bool,
}

impl Side {
    fn is_done(self) -> bool {
        self.says_no_more && self.hears_no_more
    }
}

/// A packet to the guest without bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// What it is for.
    pub operation: u16,
    /// How.
    pub flags: u32,
    /// Of which kind the connection is.
    pub kind: u16,
}

impl Word {
    const fn of(operation: u16, flags: u32) -> Word {
        Word { operation, flags, kind: STREAM }
    }
}

impl From<u16> for Word {
    fn from(operation: u16) -> Word {
        Word::of(operation, 0)
    }
}

/// What becomes of a connection, and what the guest is told of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Stays(Option<Word>),
    /// It is over. What is left for its socket still goes there.
    Ends(Option<Word>),
}

use Fate::{Ends, Stays};

const RESET: Word = Word::of(operation::RESET, 0);

impl Connection {
    /// One that the guest wants, and has.
    pub fn from_guest(socket: OwnedFd, room: u32, request: &Header) -> Connection {
        let mut connection = Connection::new(socket, room, Stage::Open);
        connection.take_credit(request);
        connection
    }

    /// One that somebody here wants, who is told when he has it.
    pub fn to_guest(socket: OwnedFd, room: u32) -> Connection {
        Connection::new(socket, room, Stage::Wanted)
    }

    fn new(socket: OwnedFd, room: u32, stage: Stage) -> Connection {
        Connection {
            socket,
            stage,
            waiting: VecDeque::new(),
            room,
            heard: 0,
            passed: 0,
            told: 0,
            owes_credit: false,
            guest: Side::default(),
            host: Side::default(),
            said: 0,
            guest_room: 0,
            guest_used: 0,
            has_asked: false,
        }
    }

    fn take_credit(&mut self, header: &Header) {
        (self.guest_room, self.guest_used, self.has_asked) = (header.room, header.used, false);
    }

    /// Writes into a header how much there is room for here. Whoever gets it knows then.
    pub fn give_credit(&mut self, header: &mut Header) {
        (header.room, header.used) = (self.room, self.passed);
        (self.told, self.owes_credit) = (self.passed, false);
    }

    /// How much the guest may be told.
    fn credit(&self) -> usize {
        let under_way = self.said.wrapping_sub(self.guest_used);
        self.guest_room.saturating_sub(under_way) as usize
    }

    /// What the guest says in this connection. `port` is what a caller is told that he has.
    pub fn hear(&mut self, header: &Header, data: &[u8], port: u32) -> Fate {
        self.take_credit(header);
        match (self.stage, header.operation) {
            (_, operation::RESET) => Ends(None),
            (Stage::Wanted, operation::RESPONSE) => {
                self.stage = Stage::Open;
                // What was just connected takes so little.
                match rustix::io::write(&self.socket, format!("OK {port}\n").as_bytes()) {
                    Ok(_) => Stays(None),
                    Err(_) => Ends(Some(RESET)),
                }
            }
            (Stage::Open, operation::DATA) => self.take(data),
            (Stage::Open, operation::CREDIT) => Stays(None),
            (Stage::Open, operation::CREDIT_REQUEST) => Stays(Some(operation::CREDIT.into())),
            (Stage::Open, operation::SHUTDOWN) => {
                self.guest.says_no_more |= header.flags & SAYS_NO_MORE != 0;
                self.guest.hears_no_more |= header.flags & HEARS_NO_MORE != 0;
                if self.guest.is_done() {
                    return Ends(Some(RESET));
                }
                if self.guest.hears_no_more {
                    let _ = rustix::net::shutdown(&self.socket, Shutdown::Read);
                }
                self.pass_on()
            }
            // Nothing else can be said at this stage.
            _ => Ends(Some(RESET)),
        }
    }

    fn take(&mut self, mut data: &[u8]) -> Fate {
        let left = self.room as usize - self.waiting.len();
        if self.guest.says_no_more || data.len() > left {
            return Ends(Some(RESET));
        }
        self.heard = self.heard.wrapping_add(data.len() as u32);
        if self.host.hears_no_more {
            // It was under way when the guest was told.
            self.passed = self.heard;
            return Stays(None);
        }
        if self.waiting.is_empty() {
            // Mostly it need not wait.
            let Ok(passed) = write(&self.socket, data) else { return self.deafen(HEARS_NO_MORE) };
            self.passed = self.passed.wrapping_add(passed as u32);
            data = &data[passed..];
        }
        self.waiting.reserve_exact(data.len());
        self.waiting.extend(data);
        self.pass_on()
    }

    /// Has the socket take what waits for it.
    fn pass_on(&mut self) -> Fate {
        match give(&self.socket, &mut self.waiting) {
            Ok(passed) => self.passed = self.passed.wrapping_add(passed as u32),
            // Nobody is there who would hear it. What he has said before is still said.
            Err(_) => return self.deafen(HEARS_NO_MORE),
        }
        if self.waiting.is_empty() {
            // There may be thousands that have once had much to keep.
            self.waiting = VecDeque::new();
            if self.guest.says_no_more {
                let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
            }
        }
        // The guest waits for room when it thinks that there is little.
        let believed = self.room.saturating_sub(self.heard.wrapping_sub(self.told));
        let is_news = self.told != self.passed && believed < self.room / 2 && !self.owes_credit;
        self.owes_credit |= is_news;
        Stays(is_news.then_some(operation::CREDIT.into()))
    }

    /// Something has happened to its socket that is no news for the guest, unless nobody is there any more.
    pub fn ready(&mut self, happened: PollFlags) -> Fate {
        if self.stage == Stage::Wanted && happened.intersects(PollFlags::HUP | PollFlags::ERR) {
            // Who wanted it has gone before he had it.
            return Ends(Some(RESET));
        }
        if happened.contains(PollFlags::HUP) && self.host.says_no_more && !self.host.hears_no_more {
            return self.deafen(SAYS_NO_MORE | HEARS_NO_MORE);
        }
        self.pass_on()
    }

    /// Nobody hears what the guest says, and it is told.
    fn deafen(&mut self, flags: u32) -> Fate {
        self.waiting = VecDeque::new();
        (self.passed, self.host.hears_no_more) = (self.heard, true);
        Stays(Some(Word::of(operation::SHUTDOWN, flags)))
    }

    /// What is waited for, if the guest would be told what comes; nothing, and not even the end of it, where nothing can be done.
    pub fn interest(&self, guest_hears: bool) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let mut wanted = PollFlags::empty();
        if !self.waiting.is_empty() {
            wanted |= PollFlags::OUT;
        }
        if guest_hears && self.is_heard() && self.credit() > 0 {
            wanted |= PollFlags::IN;
        }
        // That nobody is there any more is told without being asked for.
        let may_go = self.stage == Stage::Wanted || (self.host.says_no_more && !self.host.hears_no_more);
        (may_go || !wanted.is_empty()).then(|| (self.socket.as_fd(), wanted))
    }

    fn is_heard(&self) -> bool {
        self.stage == Stage::Open && !self.host.says_no_more && !self.guest.hears_no_more
    }

    /// Reads what the guest is told next, as much as there is room for; how much that is. Nothing comes for now if it is nothing,
    /// and something else may be to be told.
    pub fn read(&mut self, buffer: &mut [u8]) -> (usize, Fate) {
        let most = buffer.len().min(self.credit());
        if !self.is_heard() || most == 0 {
            return (0, Stays(None));
        }
        loop {
            match rustix::io::read(&self.socket, &mut buffer[..most]) {
                Ok(0) => return (0, self.finish()),
                Ok(length) => {
                    self.said = self.said.wrapping_add(length as u32);
                    let asks = self.credit() == 0 && !std::mem::replace(&mut self.has_asked, true);
                    return (length, Stays(asks.then_some(operation::CREDIT_REQUEST.into())));
                }
                // Who has closed without having read everything: what he has said is still there.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                Err(Errno::AGAIN) => return (0, Stays(None)),
                Err(_) => return (0, Ends(Some(RESET))),
            }
        }
    }

    /// The host says no more, and if nobody is there any more, it hears no more.
    fn finish(&mut self) -> Fate {
        self.host.says_no_more = true;
        // What was polled before may have been of another, with the same ports.
        let happened = ready::now(&self.socket, PollFlags::empty()).unwrap_or(PollFlags::empty());
        self.host.hears_no_more |= happened.contains(PollFlags::HUP);
        let flags = SAYS_NO_MORE | if self.host.hears_no_more { HEARS_NO_MORE } else { 0 };
        Stays(Some(Word::of(operation::SHUTDOWN, flags)))
    }

    /// What is left for its socket, if there is something.
    pub fn rest(self) -> Option<Rest> {
        let rest = Rest { socket: self.socket, waiting: self.waiting };
        (!rest.waiting.is_empty()).then_some(rest)
    }
}

/// What a connection that is over has left for its socket.
#[derive(Debug)]
pub struct Rest {
    socket: OwnedFd,
    waiting: VecDeque<u8>,
}

impl Rest {
    /// How much it is.
    pub fn length(&self) -> usize {
        self.waiting.len()
    }

    /// Has the socket take it; whether there is more.
    pub fn pass_on(&mut self) -> bool {
        give(&self.socket, &mut self.waiting).is_ok() && !self.waiting.is_empty()
    }
}

impl AsFd for Rest {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Writes as much as is taken; how much that was.
fn give(socket: &OwnedFd, waiting: &mut VecDeque<u8>) -> Result<usize, Errno> {
    let mut given = 0;
    while !waiting.is_empty() {
        match write(socket, waiting.as_slices().0)? {
            0 => break,
            length => {
                waiting.drain(..length);
                given += length;
            }
        }
    }
    Ok(given)
}

fn write(socket: &OwnedFd, data: &[u8]) -> Result<usize, Errno> {
    let mut written = 0;
    while written < data.len() {
        match rustix::io::write(socket, &data[written..]) {
            Ok(length) => written += length,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(written)
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;

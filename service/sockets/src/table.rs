//! The connections of a machine, each by its two ports; who wants to have one, and what is left of those that are over.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hcs_machine::port;
use hcs_vhost::packet::{HOST, Header, STREAM, operation};
use rustix::{
    event::PollFlags,
    fs::Mode,
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

use crate::{
    caller::{Caller, Wish},
    connection::{Connection, Fate, Rest, Word},
    device::GUEST,
};

/// How many there may be, with those that are wanted.
const MOST: usize = 4096;
/// How many may have called and not said where to. One more takes the place of the first.
const MOST_CALLERS: usize = 256;
/// How many calls of the guest may wait for who has more than he takes, and how long.
const MOST_CALLS: usize = 256;
const PATIENCE: Duration = Duration::from_secs(10);
/// How many connections that are over may have left something, and how many bytes. What is more takes the place of the oldest.
const MOST_RESTS: usize = 1024;
const MOST_LEFT: usize = 32 << 20;
/// How much of what the guest says waits in each of the first connections for who reads it, and in one of the others: what a guest
/// can make its host keep is to be little, also where nobody reads.
const ROOM: u32 = 256 << 10;
const LITTLE_ROOM: u32 = 16 << 10;
const WITH_ROOM: usize = 256;
/// How many words may wait for the guest before nobody else is let in, and before the guest is not heard. What callers make of
/// those before lies between: the guest takes no words from us as long as none are taken from it.
const MANY_UNSAID: usize = 1024;
const MOST_UNSAID: usize = 4 * MOST;
/// The first port that is given to who calls the guest; those below are known.
const FIRST_PORT: u32 = 1 << 30;

/// The two ports of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    host: u32,
    guest: u32,
}

/// What may be ready.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// Somebody calls.
    Listener,
    /// A caller says what he wants.
    Caller(usize),
    /// A connection.
    Connection(Ports),
    /// A socket for which something is left.
    Rest(usize),
}

/// The connections.
pub struct Table {
    folder: PathBuf,
    listener: OwnedFd,
    callers: Vec<Option<Caller>>,
    connections: BTreeMap<Ports, Connection>,
    /// Calls of the guest to somebody who has more calls than he takes, and since when; nothing tells when he has taken one.
    calls: VecDeque<(Header, Instant)>,
    rests: Vec<Option<Rest>>,
    /// What is to be said to the guest, of connections that there are and of others.
    unsaid: VecDeque<(Ports, Word)>,
    next_port: u32,
    /// Where it is false nobody can be let in until something else has happened: descriptors are lacking.
    lets_in: bool,
}

impl Table {
    /// Of the sockets in this folder, in which `connect` is made for who calls the guest.
    pub fn at(folder: &Path) -> Result<Table, Errno> {
        const CALLS: i32 = 64;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // There is one where the machine could not start before.
        let _ = rustix::fs::unlink(folder.join("connect"));
        let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // Its folder says who may call.
        rustix::fs::fchmod(&listener, Mode::from_raw_mode(0o777))?;
        rustix::net::bind(&listener, &SocketAddrUnix::new(folder.join("connect"))?)?;
        rustix::net::listen(&listener, CALLS)?;
        Ok(Table {
            folder: folder.to_owned(),
            listener,
            callers: Vec::new(),
            connections: BTreeMap::new(),
            calls: VecDeque::new(),
            rests: Vec::new(),
            unsaid: VecDeque::new(),
            next_port: FIRST_PORT,
            lets_in: true,
        })
    }

    /// What is waited for, if the guest would be told what comes.
    pub fn interest(&self, guest_hears: bool) -> impl Iterator<Item = (Which, BorrowedFd<'_>, PollFlags)> {
        let lets_in = self.lets_in && self.unsaid.len() < MANY_UNSAID && self.connections.len() < MOST;
        let listener = lets_in.then(|| (Which::Listener, self.listener.as_fd(), PollFlags::IN));
        let callers = self.callers.iter().enumerate().filter_map(|(number, caller)| {
            Some((Which::Caller(number), caller.as_ref()?.as_fd(), PollFlags::IN))
        });
        let connections = self.connections.iter().filter_map(move |(ports, connection)| {
            let (socket, wanted) = connection.interest(guest_hears)?;
            Some((Which::Connection(*ports), socket, wanted))
        });
        let rests = self.rests().map(|(number, socket)| (Which::Rest(number), socket, PollFlags::OUT));
        listener.into_iter().chain(callers).chain(connections).chain(rests)
    }

    /// Whether something is left for sockets of connections that are over.
    pub fn has_rests(&self) -> bool {
        self.rests.iter().any(Option::is_some)
    }

    /// Those sockets. They are to be written to.
    pub fn rests(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        self.rests.iter().enumerate().filter_map(|(number, rest)| Some((number, rest.as_ref()?.as_fd())))
    }

    /// Has such a socket take what is left for it.
    pub fn pass_on(&mut self, number: usize) {
        if let Some(place) = self.rests.get_mut(number) {
            self.lets_in |= place.take_if(|rest| !rest.pass_on()).is_some();
        }
    }

    /// What nothing will tell of, and is to be tried again after this time.
    pub fn patience(&self) -> Option<Duration> {
        const SHORT: Duration = Duration::from_millis(10);
        const LONG: Duration = Duration::from_secs(1);
        let waits = !self.calls.is_empty();
        waits.then_some(SHORT).or((!self.lets_in).then_some(LONG))
    }

    /// Tries again what could not be done.
    pub fn try_again(&mut self) {
        self.lets_in = true;
        let mut full = BTreeSet::new();
        for (header, since) in std::mem::take(&mut self.calls) {
            if since.elapsed() >= PATIENCE {
                self.unsaid.push_back((ports_of(&header), operation::RESET.into()));
            } else if full.contains(&header.target_port) {
                self.calls.push_back((header, since));
            } else if !self.call(&header) {
                full.insert(header.target_port);
                self.calls.push_back((header, since));
            }
        }
    }

    /// Whether the guest is to be heard; one that does not listen is not.
    pub fn hears(&self) -> bool {
        self.unsaid.len() < MOST_UNSAID
    }

    /// What happened here, but for what the guest is to be told: [`Table::read`].
    pub fn ready(&mut self, which: Which, happened: PollFlags, has_driver: bool) {
        match which {
            Which::Listener => self.let_in(),
            Which::Caller(number) => self.hear_caller(number, has_driver),
            Which::Rest(number) => self.pass_on(number),
            Which::Connection(ports) => {
                let Some(connection) = self.connections.get_mut(&ports) else { return };
                let fate = connection.ready(happened);
                self.settle(ports, fate);
            }
        }
    }

    fn let_in(&mut self) {
        match rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => {
                self.callers.retain(Option::is_some);
                if self.callers.len() == MOST_CALLERS {
                    self.callers.remove(0);
                }
                self.callers.push(Some(Caller::new(socket)));
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
            Err(_) => self.lets_in = false,
        }
    }

    fn hear_caller(&mut self, number: usize, has_driver: bool) {
        let Some(place) = self.callers.get_mut(number) else { return };
        let port = match place.as_mut().map_or(Wish::Nothing, Caller::wish) {
            Wish::Unsaid => return,
            // Nobody is there who could be asked.
            Wish::Port(port) if has_driver => Some(port),
            Wish::Port(_) | Wish::Nothing => None,
        };
        let (caller, guest) = (place.take(), port);
        self.lets_in = true;
        let (Some(caller), Some(guest)) = (caller, guest) else { return };
        let ports = Ports { host: self.free_port(guest), guest };
        let room = self.room();
        self.connections.insert(ports, Connection::to_guest(caller.into_socket(), room));
        self.unsaid.push_back((ports, operation::REQUEST.into()));
    }

    fn free_port(&mut self, guest: u32) -> u32 {
        loop {
            let host = self.next_port;
            self.next_port = host.checked_add(1).unwrap_or(FIRST_PORT);
            if !self.connections.contains_key(&Ports { host, guest }) {
                return host;
            }
        }
    }

    /// What the guest says.
    pub fn hear(&mut self, header: &Header, data: &[u8]) {
        // What comes from nowhere is nobody's.
        if header.source != GUEST || header.target != HOST {
            return;
        }
        let ports = ports_of(header);
        let reset = Word { kind: header.kind, ..operation::RESET.into() };
        if header.kind != STREAM {
            // An end is not answered, or two who know of different kinds would answer each other for ever.
            if header.operation != operation::RESET {
                self.unsaid.push_back((ports, reset));
            }
            return;
        }
        match (self.connections.get_mut(&ports), header.operation) {
            (Some(connection), _) => {
                let fate = connection.hear(header, data, ports.host);
                self.settle(ports, fate);
            }
            (None, operation::REQUEST) => {
                // Who has given up and calls once more has the same ports.
                self.calls.retain(|(call, _)| ports_of(call) != ports);
                if !self.call(header) {
                    if self.calls.len() < MOST_CALLS {
                        self.calls.push_back((*header, Instant::now()));
                    } else {
                        self.unsaid.push_back((ports, reset));
                    }
                }
            }
            (None, operation::RESET) => self.calls.retain(|(call, _)| ports_of(call) != ports),
            (None, _) => self.unsaid.push_back((ports, reset)),
        }
    }

    /// The guest calls a port of the host. False if who listens there has more calls than he takes.
    fn call(&mut self, header: &Header) -> bool {
        let ports = ports_of(header);
        // Somebody here may have got it while the call waited.
        if self.connections.contains_key(&ports) {
            return true;
        }
        let word = match self.connect(ports.host) {
            Ok(socket) => {
                let room = self.room();
                // Those before that had the same ports are over for the guest.
                self.unsaid.retain(|(of, _)| *of != ports);
                self.connections.insert(ports, Connection::from_guest(socket, room, header));
                operation::RESPONSE
            }
            Err(Errno::AGAIN) => return false,
            Err(_) => operation::RESET,
        };
        self.unsaid.push_back((ports, word.into()));
        true
    }

    /// How much room another connection has.
    fn room(&self) -> u32 {
        if self.connections.len() < WITH_ROOM { ROOM } else { LITTLE_ROOM }
    }

    /// Connects to who listens for a port of the host.
    fn connect(&self, port: u32) -> Result<OwnedFd, Errno> {
        if self.connections.len() >= MOST {
            return Err(Errno::MFILE);
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(self.folder.join(port::name(port)))?)?;
        Ok(socket)
    }

    fn settle(&mut self, ports: Ports, fate: Fate) {
        let word = match fate {
            Fate::Stays(word) => word,
            Fate::Ends(word) => {
                let over = self.connections.remove(&ports);
                self.leave(over.into_iter());
                word
            }
        };
        self.unsaid.extend(word.map(|word| (ports, word)));
    }

    /// What is left of connections that are over still goes to their sockets.
    fn leave(&mut self, over: impl Iterator<Item = Connection>) {
        self.rests.retain(Option::is_some);
        self.rests.extend(over.filter_map(Connection::rest).map(Some));
        let mut left = self.rests.iter().flatten().map(Rest::length).sum::<usize>();
        while left > MOST_LEFT || self.rests.len() > MOST_RESTS {
            left -= self.rests.remove(0).map_or(0, |rest| rest.length());
        }
        self.lets_in = true;
    }

    /// What is to be said to the guest that has no bytes.
    pub fn next_word(&mut self) -> Option<Header> {
        let (ports, word) = self.unsaid.pop_front()?;
        let mut header = header(ports, word.operation);
        (header.flags, header.kind) = (word.flags, word.kind);
        if let Some(connection) = self.connections.get_mut(&ports) {
            connection.give_credit(&mut header);
        }
        Some(header)
    }

    /// Reads from a connection that is ready what the guest is told next, with its header; nothing if nothing comes for now.
    pub fn read(&mut self, ports: Ports, buffer: &mut [u8]) -> Option<Header> {
        let connection = self.connections.get_mut(&ports)?;
        let (length, fate) = connection.read(buffer);
        let told = (length > 0).then(|| {
            let mut header = header(ports, operation::DATA);
            header.length = length as u32;
            connection.give_credit(&mut header);
            header
        });
        self.settle(ports, fate);
        told
    }

    /// There is another driver, which knows of no connection.
    pub fn forget(&mut self) {
        let over = std::mem::take(&mut self.connections);
        self.leave(over.into_values());
        self.unsaid.clear();
        self.calls.clear();
    }
}

/// The ports of what the guest says.
fn ports_of(header: &Header) -> Ports {
    Ports { host: header.target_port, guest: header.source_port }
}

fn header(ports: Ports, operation: u16) -> Header {
    Header {
        source: HOST,
        target: GUEST,
        source_port: ports.host,
        target_port: ports.guest,
        kind: STREAM,
        operation,
        ..Header::default()
    }
}

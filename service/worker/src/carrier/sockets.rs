//! A socket for each stream. The guest calls ports of its host; on the host each port that is called by anybody is a Unix
//! socket `connect_PORT` in the folder of the machine's sockets, where what carries them (`hcs_sockets`) looks for it.
//!
//! A source is closed when it has said everything, in both directions: who listens has nothing to say. What has not been taken
//! from a socket is lost with the machine: [`Carrier::take_rest`].

use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use hcs_core::{Cause, Error, ready};
use hcs_machine::port;
use hcs_mux::{Event, Stream};
use rustix::{
    event::PollFlags,
    io::Errno,
    net::{Shutdown, SocketFlags},
};

use super::{Carrier, Cut, Interest, PIECE, TURN, Told, Which, has_no_reader};

/// How a guest calls a port of its host.
pub type Call = Box<dyn Fn(u32) -> Result<OwnedFd, Errno>>;

/// How much of what comes waits here for who reads it.
const ENOUGH: usize = 256 << 10;
/// How much more waits when nothing else comes: all that can be under way then.
const REST: usize = 1 << 20;
/// How much waits to be sent before the other side is given up: the longest message of a host, and some.
const MOST_UNSENT: usize = 20 << 20;

/// Streams in sockets.
pub struct Sockets {
    side: Side,
    listeners: BTreeMap<u32, Listener>,
    links: BTreeMap<Stream, Link>,
    next: u32,
    told: VecDeque<Told>,
    /// Where it is false nobody can be let in until something else has happened: descriptors are lacking.
    lets_in: bool,
    buffer: Vec<u8>,
}

enum Side {
    /// The host, with the folder of the sockets.
    Host(OwnedFd),
    Guest(Call),
}

struct Listener {
    socket: OwnedFd,
    is_for_one: bool,
}

struct Link {
    socket: OwnedFd,
    /// What the socket has not taken yet.
    unsent: Vec<u8>,
    joint: Joint,
}

/// What a stream is joined with.
enum Joint {
    /// Nothing, until somebody has decided.
    Nothing,
    /// What is read from the pipe is sent; where it is known how much there is, the end follows that.
    Source { pipe: OwnedFd, left: Option<usize> },
    /// What comes is written into the pipe.
    Sink { pipe: OwnedFd, waiting: Vec<u8>, most: usize, is_over: bool },
    /// Somebody here speaks by it.
    Talk,
}

/// What has become of a stream.
#[derive(PartialEq, Eq)]
enum Flow {
    Goes,
    Said(Vec<u8>),
    Over,
}

impl Sockets {
    /// The side of the host, with the folder of the machine's sockets.
    pub fn host(folder: &Path) -> Result<Sockets, Error> {
        Ok(Sockets::new(Side::Host(port::open_folder(folder)?)))
    }

    /// The side of the guest. It can call at once.
    pub fn guest(call: Call) -> Sockets {
        let mut sockets = Sockets::new(Side::Guest(call));
        sockets.told.push_back(Told::Happened(Event::Begun));
        sockets
    }

    fn new(side: Side) -> Sockets {
        Sockets {
            side,
            listeners: BTreeMap::new(),
            links: BTreeMap::new(),
            next: 0,
            told: VecDeque::new(),
            lets_in: true,
            buffer: vec![0; PIECE],
        }
    }

    /// Listens at a port until the end. `InUse` is that somebody else does.
    pub fn listen(&mut self, port: u32) -> Result<(), Error> {
        self.listen_for(port, false)
    }

    fn listen_for(&mut self, port: u32, is_for_one: bool) -> Result<(), Error> {
        let Side::Host(folder) = &self.side else {
            return Err(Error::new(Cause::Unexpected, "only a host listens"));
        };
        let socket = port::listen(folder, port).map_err(|errno| match errno {
            Errno::ADDRINUSE => {
                let detail = format!("there is a socket {} already", port::name(port));
                Error::new(Cause::InUse, detail).hint("Remove it: this port is the service's own.")
            }
            errno => {
                Error::from_errno(errno.raw_os_error(), format!("making the socket {}", port::name(port)))
            }
        })?;
        self.listeners.insert(port, Listener { socket, is_for_one });
        Ok(())
    }

    fn listen_no_more(&mut self, port: u32) {
        if let (Some(_), Side::Host(folder)) = (self.listeners.remove(&port), &self.side) {
            port::close(folder, port);
        }
    }

    /// Lets in who calls there.
    fn let_in(&mut self, port: u32) -> Option<Stream> {
        let Listener { socket, is_for_one } = self.listeners.get(&port)?;
        match rustix::net::accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => {
                if *is_for_one {
                    self.listen_no_more(port);
                }
                Some(self.add(socket))
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => None,
            Err(errno) => {
                hcs_core::complain!("hcs-worker: who calls port {port} cannot be let in: {errno}");
                self.lets_in = false;
                None
            }
        }
    }

    fn add(&mut self, socket: OwnedFd) -> Stream {
        let stream = Stream::numbered(self.next);
        self.next += 1;
        self.links.insert(stream, Link { socket, unsent: Vec::new(), joint: Joint::Nothing });
        stream
    }

    fn join(&mut self, stream: Stream, joint: Joint) {
        let Some(link) = self.links.get_mut(&stream) else { return };
        // One that cannot be read or written without waiting would stop everything.
        let usable = match &joint {
            Joint::Source { pipe, .. } | Joint::Sink { pipe, .. } => ready::set_nonblocking(pipe).is_ok(),
            Joint::Nothing | Joint::Talk => true,
        };
        link.joint = joint;
        if !usable {
            self.reset(stream);
        }
    }

    /// Moves what can be moved between a stream and what it is joined with.
    fn move_on(&mut self, stream: Stream) {
        let Some(link) = self.links.get_mut(&stream) else { return };
        match link.move_on(&mut self.buffer) {
            Flow::Goes => {}
            Flow::Said(bytes) => self.told.push_back(Told::Happened(Event::Data(stream, bytes))),
            Flow::Over => self.end(stream),
        }
    }

    fn end(&mut self, stream: Stream) {
        let Some(link) = self.links.remove(&stream) else { return };
        self.told.push_back(match link.joint {
            Joint::Source { .. } | Joint::Sink { .. } => Told::Parted(stream),
            Joint::Nothing | Joint::Talk => Told::Happened(Event::Gone(stream)),
        });
        hang_up(&link.socket, &mut self.buffer);
    }
}

impl Link {
    fn move_on(&mut self, buffer: &mut [u8]) -> Flow {
        let moved = match self.joint {
            Joint::Nothing => Ok(Flow::Goes),
            Joint::Talk => self.talk(buffer),
            Joint::Source { .. } => self.source(buffer),
            Joint::Sink { .. } => self.sink(buffer),
        };
        // Whatever is the matter with either end, nothing comes or goes any more.
        moved.unwrap_or(Flow::Over)
    }

    fn send(&mut self) -> Result<(), Errno> {
        give(&self.socket, &mut self.unsent)
    }

    fn talk(&mut self, buffer: &mut [u8]) -> Result<Flow, Errno> {
        // Who hears no more may have said something before.
        if self.send().is_err() {
            self.unsent.clear();
        }
        Ok(match take(&self.socket, buffer)? {
            None => Flow::Goes,
            Some(0) => Flow::Over,
            Some(length) => Flow::Said(buffer[..length].to_vec()),
        })
    }

    fn source(&mut self, buffer: &mut [u8]) -> Result<Flow, Errno> {
        for _ in 0..TURN {
            self.send()?;
            let Joint::Source { pipe, left } = &mut self.joint else { break };
            if !self.unsent.is_empty() {
                break;
            }
            if *left == Some(0) {
                return Ok(Flow::Over);
            }
            let most = buffer.len().min(left.unwrap_or(usize::MAX));
            // An error is how a console ends when nobody has it open any more.
            match take(pipe, &mut buffer[..most]).unwrap_or(Some(0)) {
                None => break,
                Some(0) => *left = Some(0),
                Some(length) => {
                    *left = left.map(|left| left - length);
                    self.unsent.extend_from_slice(&buffer[..length]);
                }
            }
        }
        // Who listens has nothing to say, and cannot stop others by saying much.
        for _ in 0..TURN {
            match take(&self.socket, buffer)? {
                None => break,
                Some(0) => return Ok(Flow::Over),
                Some(_) => {}
            }
        }
        Ok(Flow::Goes)
    }

    fn sink(&mut self, buffer: &mut [u8]) -> Result<Flow, Errno> {
        for _ in 0..TURN {
            let Joint::Sink { pipe, waiting, most, is_over } = &mut self.joint else { break };
            give(pipe, waiting)?;
            if *is_over && waiting.is_empty() {
                return Ok(Flow::Over);
            }
            if *is_over || waiting.len() >= *most {
                break;
            }
            // Who breaks off has come to the end as well.
            match take(&self.socket, buffer).unwrap_or(Some(0)) {
                None => break,
                Some(0) => *is_over = true,
                Some(length) => waiting.extend_from_slice(&buffer[..length]),
            }
        }
        let nobody = matches!(&self.joint, Joint::Sink { pipe, .. } if has_no_reader(pipe));
        Ok(if nobody { Flow::Over } else { Flow::Goes })
    }
}

impl Carrier for Sockets {
    fn interest(&self) -> Interest<'_> {
        let listeners = self.listeners.iter().filter(|_| self.lets_in);
        let listeners = listeners
            .map(|(port, listener)| (Which::Listener(*port), listener.socket.as_fd(), PollFlags::IN));
        let links = self.links.iter().flat_map(|(stream, link)| {
            let out = if link.unsent.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            // A socket or pipe from which nothing is wanted is not polled: its end would be told again and again.
            let (socket, pipe) = match &link.joint {
                Joint::Nothing => (None, None),
                Joint::Talk => (Some(PollFlags::IN | out), None),
                Joint::Source { pipe, .. } => {
                    (Some(PollFlags::RDHUP | out), out.is_empty().then_some((pipe, PollFlags::IN)))
                }
                Joint::Sink { pipe, waiting, most, is_over } => {
                    let more = !is_over && waiting.len() < *most;
                    // No events means that only the end of its reader is told.
                    let wanted = if waiting.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
                    (more.then_some(PollFlags::IN), Some((pipe, wanted)))
                }
            };
            let socket = socket.map(|wanted| (Which::Socket(*stream), link.socket.as_fd(), wanted));
            let pipe = pipe.map(|(pipe, wanted)| (Which::Pipe(*stream), pipe.as_fd(), wanted));
            socket.into_iter().chain(pipe)
        });
        Box::new(listeners.chain(links))
    }

    fn ready(&mut self, which: Which) -> Result<(), Cut> {
        match which {
            Which::Port => {}
            Which::Listener(port) => {
                if let Some(stream) = self.let_in(port) {
                    self.told.push_back(Told::Happened(Event::Wanted(stream, port)));
                }
            }
            Which::Socket(stream) | Which::Pipe(stream) => {
                self.lets_in = true;
                self.move_on(stream);
            }
        }
        Ok(())
    }

    fn next_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    fn open(&mut self, port: u32) -> Option<Stream> {
        let Side::Guest(call) = &self.side else { return None };
        let socket = call(port).ok()?;
        ready::set_nonblocking(&socket).ok()?;
        Some(self.add(socket))
    }

    fn expect(&mut self, port: u32) -> Result<(), Error> {
        self.lets_in = true;
        self.listen_for(port, true)
    }

    fn expect_no_more(&mut self, port: u32) {
        self.listen_no_more(port);
    }

    fn admit(&mut self, port: u32) -> Option<Stream> {
        self.let_in(port)
    }

    fn accept_source(&mut self, stream: Stream, pipe: OwnedFd) {
        self.join_source(stream, pipe);
    }

    fn accept_sink(&mut self, stream: Stream, pipe: OwnedFd) {
        self.join_sink(stream, pipe);
    }

    fn accept_talk(&mut self, stream: Stream) {
        self.join_talk(stream);
    }

    fn join_source(&mut self, stream: Stream, pipe: OwnedFd) {
        self.join(stream, Joint::Source { pipe, left: None });
    }

    fn join_sink(&mut self, stream: Stream, pipe: OwnedFd) {
        self.join(stream, Joint::Sink { pipe, waiting: Vec::new(), most: ENOUGH, is_over: false });
    }

    fn join_talk(&mut self, stream: Stream) {
        self.join(stream, Joint::Talk);
    }

    fn say(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Cut> {
        if let Some(link) = self.links.get_mut(&stream) {
            link.unsent.extend_from_slice(bytes);
            match link.send() {
                // Its end is to be heard, behind what it may have said before.
                Err(_) => link.unsent.clear(),
                Ok(()) if link.unsent.len() > MOST_UNSENT => self.end(stream),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn unsent(&self, stream: Stream) -> usize {
        self.links.get(&stream).map_or(0, |link| link.unsent.len())
    }

    fn finish_source(&mut self, stream: Stream) -> Result<(), Cut> {
        if let Some(Link { joint: Joint::Source { pipe, left }, .. }) = self.links.get_mut(&stream) {
            let said = rustix::io::ioctl_fionread(&*pipe).map_or(0, |bytes| bytes as usize);
            left.get_or_insert(said);
            self.move_on(stream);
        }
        Ok(())
    }

    fn take_rest(&mut self, stream: Stream) {
        if let Some(Link { joint: Joint::Sink { most, .. }, .. }) = self.links.get_mut(&stream) {
            *most = ENOUGH + REST;
            self.move_on(stream);
        }
    }

    fn reset(&mut self, stream: Stream) {
        self.lets_in = true;
        if let Some(link) = self.links.remove(&stream) {
            hang_up(&link.socket, &mut self.buffer);
        }
    }

    fn pipe_of(&self, stream: Stream) -> Option<&OwnedFd> {
        match &self.links.get(&stream)?.joint {
            Joint::Source { pipe, left: None } | Joint::Sink { pipe, .. } => Some(pipe),
            Joint::Source { .. } | Joint::Nothing | Joint::Talk => None,
        }
    }

    fn is_drained(&self, stream: Stream) -> bool {
        match self.links.get(&stream) {
            Some(Link { unsent, joint: Joint::Source { pipe, .. }, .. }) => {
                !unsent.is_empty() || rustix::io::ioctl_fionread(pipe).is_ok_and(|bytes| bytes == 0)
            }
            _ => true,
        }
    }

    fn close(&mut self) {
        self.links.clear();
        let ports: Vec<u32> = self.listeners.keys().copied().collect();
        ports.into_iter().for_each(|port| self.listen_no_more(port));
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.close();
    }
}

/// Reads what is there; nothing if that is to be waited for.
fn take(from: &OwnedFd, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
    loop {
        match rustix::io::read(from, &mut *buffer) {
            Ok(length) => return Ok(Some(length)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
}

/// Writes as much as is taken, and keeps the rest.
fn give(to: &OwnedFd, bytes: &mut Vec<u8>) -> Result<(), Errno> {
    let mut given = 0;
    let outcome = loop {
        if given == bytes.len() {
            break Ok(());
        }
        match rustix::io::write(to, &bytes[given..]) {
            Ok(length) => given += length,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break Ok(()),
            Err(errno) => break Err(errno),
        }
    };
    bytes.drain(..given);
    outcome
}

/// Ends a connection in such a way that what was said arrives, and the end too: what has come is not left unread, and
/// nothing comes any more.
fn hang_up(socket: &OwnedFd, buffer: &mut [u8]) {
    let _ = rustix::net::shutdown(socket, Shutdown::Both);
    while let Ok(Some(1..)) = take(socket, buffer) {}
}

#[cfg(test)]
#[path = "sockets_tests.rs"]
mod tests;

//! The connection to the monitor. Whoever waits for something from it reads it, for everybody: the thread of the device for
//! requests, and any thread, also within a function of the device, for answers to what the device has asked.

use std::{
    collections::{HashMap, VecDeque},
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Condvar, Mutex, OnceLock, PoisonError},
};

use hcs_core::{Cause, Error};
use hcs_vfio::{
    Broken, MOST_FDS,
    frame::{Decoder, Message},
    own::{self, Width},
};
use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, Shutdown,
    },
};

use crate::lock;

/// The most bytes of requests that wait while a function of the device waits for an answer.
const MOST_WAITING: usize = 64 << 20;
/// How much one read takes at most.
const READ: usize = 64 << 10;

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// Somebody has hung up.
    HungUp,
    /// The monitor does not keep to the protocol.
    Broken(String),
}

impl From<Broken> for Over {
    fn from(broken: Broken) -> Over {
        Over::Broken(broken.0)
    }
}

/// A connection.
pub struct Link {
    socket: OwnedFd,
    /// How the monitor writes lengths, once that is known.
    width: OnceLock<Width>,
    /// Whoever holds it writes.
    writing: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Not there while somebody reads.
    reader: Option<Reader>,
    requests: VecDeque<Message>,
    waiting: usize,
    /// Those who wait for an answer, by its number.
    answers: HashMap<u16, Option<Message>>,
    next: u16,
    over: Option<Over>,
}

struct Reader {
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Link {
    /// With the monitor at the other end of this socket.
    pub fn new(socket: OwnedFd, width: Option<Width>) -> Link {
        let reader = Reader { decoder: Decoder::default(), buffer: vec![0; READ] };
        Link {
            socket,
            width: width.map_or_else(OnceLock::new, OnceLock::from),
            writing: Mutex::default(),
            state: Mutex::new(State {
                reader: Some(reader),
                requests: VecDeque::new(),
                waiting: 0,
                answers: HashMap::new(),
                next: 0,
                over: None,
            }),
            changed: Condvar::new(),
        }
    }

    /// The next request.
    pub fn request(&self) -> Result<Message, Over> {
        self.wait(|state| {
            let request = state.requests.pop_front()?;
            state.waiting -= request.body.len();
            Some(request)
        })
    }

    /// Waits until something is there, and reads while nobody else does.
    fn wait<T>(&self, mut take: impl FnMut(&mut State) -> Option<T>) -> Result<T, Over> {
        let mut state = lock(&self.state);
        loop {
            if let Some(taken) = take(&mut state) {
                return Ok(taken);
            }
            if let Some(over) = &state.over {
                return Err(over.clone());
            }
            let Some(mut reader) = state.reader.take() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let read = reader.read(&self.socket);
            state = lock(&self.state);
            state.reader = Some(reader);
            match read {
                Ok(messages) => state.sort(messages),
                Err(over) => state.over = Some(over),
            }
            self.changed.notify_all();
        }
    }

    /// Says something.
    pub fn say(&self, bytes: &[u8], file: Option<BorrowedFd<'_>>) -> Result<(), Over> {
        let _writing = lock(&self.writing);
        let (mut rest, mut file) = (bytes, file);
        while !rest.is_empty() {
            match send(&self.socket, rest, file) {
                Ok(sent) => {
                    rest = &rest[sent..];
                    file = None;
                }
                Err(Errno::INTR) => {}
                Err(_) => return Err(Over::HungUp),
            }
        }
        Ok(())
    }

    fn ask(&self, asks: impl FnOnce(u16) -> Vec<u8>) -> Result<Message, Over> {
        let number = {
            let mut state = lock(&self.state);
            let number = (0..=u16::MAX)
                .map(|step| state.next.wrapping_add(step))
                .find(|number| !state.answers.contains_key(number))
                .ok_or(Over::HungUp)?;
            state.next = number.wrapping_add(1);
            state.answers.insert(number, None);
            number
        };
        let answer = self
            .say(&asks(number), None)
            .and_then(|()| self.wait(|state| state.answers.get_mut(&number).and_then(Option::take)));
        lock(&self.state).answers.remove(&number);
        answer
    }

    /// How the monitor writes lengths: versions of QEMU differ, and do not say which they are.
    fn width(&self) -> Result<Width, Error> {
        if let Some(width) = self.width.get() {
            return Ok(*width);
        }
        let width = own::probed(&self.ask(own::probe).map_err(gone)?);
        Ok(*self.width.get_or_init(|| width))
    }

    /// Reads memory that only the monitor has.
    pub fn read(&self, address: u64, data: &mut [u8]) -> Result<(), Error> {
        let width = self.width()?;
        let asked = self.ask(|number| own::read(width, number, address, data.len() as u32));
        let answer = asked.map_err(gone)?;
        granted(&answer, address)?;
        match own::data(width, &answer, data.len()) {
            Ok(read) => data.copy_from_slice(read),
            Err(broken) => return Err(gone(broken.into())),
        }
        Ok(())
    }

    /// Writes memory that only the monitor has.
    pub fn write(&self, address: u64, data: &[u8]) -> Result<(), Error> {
        let width = self.width()?;
        let answer = self.ask(|number| own::write(width, number, address, data, true)).map_err(gone)?;
        granted(&answer, address)
    }

    /// Writes four bytes somewhere, and does not wait for it. What is done in this order is seen in this order.
    pub fn post(&self, address: u64, data: u32) -> Result<(), Error> {
        let width = self.width()?;
        let number = {
            let mut state = lock(&self.state);
            state.next = state.next.wrapping_add(1);
            state.next
        };
        let message = own::write(width, number, address, &data.to_le_bytes(), false);
        self.say(&message, None).map_err(gone)
    }

    /// Ends it. Everybody who waits for something learns of it.
    pub fn hang_up(&self) {
        // It may be over already.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
    }
}

fn gone(over: Over) -> Error {
    match over {
        Over::HungUp => Error::new(Cause::InvalidState, "the machine has hung up"),
        Over::Broken(why) => Error::new(Cause::InvalidState, format!("the machine was hung up on: {why}")),
    }
}

fn granted(answer: &Message, address: u64) -> Result<(), Error> {
    match answer.header.refused() {
        None => Ok(()),
        Some(errno) => Err(Error::from_errno(errno, format!("accessing the memory at {address:#x}"))),
    }
}

impl State {
    fn sort(&mut self, messages: Vec<Message>) {
        for message in messages {
            if !message.header.is_answer() {
                self.waiting += message.body.len();
                self.requests.push_back(message);
            } else if let Some(place) = self.answers.get_mut(&message.header.id) {
                *place = Some(message);
            }
            // Else it refuses what was not waited for.
        }
        if self.waiting > MOST_WAITING {
            self.over = Some(Over::Broken("more requests than can wait".to_owned()));
        }
    }
}

impl Reader {
    fn read(&mut self, socket: &OwnedFd) -> Result<Vec<Message>, Over> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS + 1))];
        loop {
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [IoSliceMut::new(&mut self.buffer)];
            let received =
                match rustix::net::recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
                    Ok(received) => received,
                    Err(Errno::INTR) => continue,
                    Err(_) => return Err(Over::HungUp),
                };
            if received.bytes == 0 {
                return Err(Over::HungUp);
            }
            let mut fds = Vec::new();
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    fds.extend(rights);
                }
            }
            if received.flags.contains(ReturnFlags::CTRUNC) {
                return Err(Over::Broken("more descriptors than a message may have".to_owned()));
            }
            self.decoder.feed(&self.buffer[..received.bytes], fds)?;
            let mut messages = Vec::new();
            while let Some(message) = self.decoder.next_message()? {
                messages.push(message);
            }
            if !messages.is_empty() {
                return Ok(messages);
            }
        }
    }
}

fn send(socket: &OwnedFd, bytes: &[u8], file: Option<BorrowedFd<'_>>) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files: Vec<BorrowedFd<'_>> = file.into_iter().collect();
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(Errno::INVAL);
    }
    rustix::net::sendmsg(socket.as_fd(), &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
}

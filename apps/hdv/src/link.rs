//! The connection to the monitor. Whoever waits for something from it reads it, for everybody: the thread of the device for
//! requests, and any thread, also within a function of the device, for answers to what the device has asked.

use std::{
    collections::{HashMap, VecDeque},
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error, ready};
use hcs_vfio::{
    Broken, MOST_DATA, MOST_FDS,
    frame::{Decoder, Message},
    own::{self, Width},
};
use rustix::{
    event::PollFlags,
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, Shutdown, sockopt::Timeout,
    },
};

use crate::lock;

/// How much may wait while a function of the device waits for an answer, in bytes; a descriptor counts as many.
const MOST_WAITING: usize = 64 << 20;
const OF_A_MESSAGE: usize = 128;
const OF_A_DESCRIPTOR: usize = 1 << 20;
/// The most interrupts that wait until it is known how they are written.
const MOST_POSTS: usize = 4096;
/// How long a monitor may take to answer, or to take what is said to it.
const PATIENCE: Duration = Duration::from_secs(30);
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
    /// The most data that the monitor takes at once.
    most_data: AtomicUsize,
    /// Whoever holds it writes.
    writing: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The number of the question how the monitor writes lengths, while that is asked.
    probe: Option<u16>,
    /// Interrupts that wait for its answer.
    posts: Vec<(u64, u32)>,
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
        // Where that cannot be set one waits for longer.
        let _ = rustix::net::sockopt::set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE));
        let reader = Reader { decoder: Decoder::default(), buffer: vec![0; READ] };
        Link {
            socket,
            width: width.map_or_else(OnceLock::new, OnceLock::from),
            most_data: AtomicUsize::new(MOST_DATA),
            writing: Mutex::default(),
            state: Mutex::new(State {
                probe: None,
                posts: Vec::new(),
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
        self.wait(None, |state| {
            let request = state.requests.pop_front()?;
            state.waiting -= weight(&request);
            Some(request)
        })
    }

    /// Waits until something is there, and reads while nobody else does.
    fn wait<T>(
        &self,
        until: Option<Instant>,
        mut take: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, Over> {
        let mut state = lock(&self.state);
        loop {
            if let Some(taken) = take(&mut state) {
                return Ok(taken);
            }
            if let Some(over) = &state.over {
                return Err(over.clone());
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                state.over = Some(Over::Broken(format!("no answer within {PATIENCE:?}")));
                self.hang_up();
                self.changed.notify_all();
                continue;
            }
            let Some(mut reader) = state.reader.take() else {
                state = match left {
                    None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                    Some(left) => {
                        self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                    }
                };
                continue;
            };
            drop(state);
            // One that waits for ever does so in its read. Who has a limit reads what is there, if anything is.
            let read = match left {
                None => reader.read(&self.socket, RecvFlags::empty()),
                Some(_) if ready::until(&self.socket, PollFlags::IN, until) == Ok(PollFlags::empty()) => {
                    Ok(Vec::new())
                }
                Some(_) => reader.read(&self.socket, RecvFlags::DONTWAIT),
            };
            state = lock(&self.state);
            state.reader = Some(reader);
            let answered = match read {
                Ok(messages) => state.sort(messages),
                Err(over) => {
                    state.over.get_or_insert(over);
                    None
                }
            };
            if state.over.is_some() {
                self.hang_up();
            }
            self.changed.notify_all();
            if let Some(answer) = answered {
                drop(state);
                self.learn(own::probed(&answer));
                state = lock(&self.state);
            }
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
                Err(_) => {
                    // A part of it may be out, and nothing makes sense behind that.
                    self.hang_up();
                    return Err(Over::HungUp);
                }
            }
        }
        Ok(())
    }

    /// The monitor has greeted: it is asked how it writes lengths, unless that is known. Nobody waits for the answer: a QEMU whose
    /// processor waits for the device does not give it.
    pub fn greeted(&self, most_data: usize) {
        // One that takes nothing gets a little all the same, and may refuse it.
        self.most_data.store(most_data.clamp(4096, MOST_DATA), Ordering::Relaxed);
        if self.width.get().is_some() {
            return;
        }
        let number = {
            let mut state = lock(&self.state);
            state.probe = state.number();
            state.probe
        };
        if let Some(number) = number {
            // Who has hung up is heard of with the next request.
            let _ = self.say(&own::probe(number), None);
        }
    }

    /// It is known now: interrupts that have waited go out.
    fn learn(&self, width: Width) {
        // Held while they go out, so that none overtakes them.
        let mut state = lock(&self.state);
        let _ = self.width.set(width);
        for (address, data) in std::mem::take(&mut state.posts) {
            let message = own::write(width, 0, address, &data.to_le_bytes(), false);
            let _ = self.say(&message, None);
        }
        self.changed.notify_all();
    }

    fn ask(&self, asks: impl FnOnce(u16) -> Vec<u8>) -> Result<Message, Over> {
        let number = {
            let mut state = lock(&self.state);
            let number = state.number().ok_or(Over::HungUp)?;
            state.answers.insert(number, None);
            number
        };
        let answer = self.say(&asks(number), None).and_then(|()| {
            let until = Instant::now() + PATIENCE;
            self.wait(Some(until), |state| state.answers.get_mut(&number).and_then(Option::take))
        });
        lock(&self.state).answers.remove(&number);
        answer
    }

    /// The most data that is read or written at once.
    pub fn most_data(&self) -> usize {
        self.most_data.load(Ordering::Relaxed)
    }

    /// How the monitor writes lengths: versions of QEMU differ, and do not say which they are.
    fn width(&self) -> Result<Width, Error> {
        if let Some(width) = self.width.get() {
            return Ok(*width);
        }
        let until = Instant::now() + PATIENCE;
        self.wait(Some(until), |_| self.width.get().copied()).map_err(gone)
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
        let mut state = lock(&self.state);
        let Some(width) = self.width.get() else {
            if state.posts.len() >= MOST_POSTS {
                return Err(Error::new(Cause::InvalidState, "the machine does not take interrupts yet"));
            }
            state.posts.push((address, data));
            return Ok(());
        };
        drop(state);
        // The number of a message that nobody answers is of no use.
        self.say(&own::write(*width, 0, address, &data.to_le_bytes(), false), None).map_err(gone)
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

/// How much a message that waits takes.
fn weight(message: &Message) -> usize {
    OF_A_MESSAGE + message.body.len() + message.fds.len() * OF_A_DESCRIPTOR
}

impl State {
    /// A number that nobody waits for an answer to.
    fn number(&mut self) -> Option<u16> {
        let is_free = |number: &u16| {
            // 0 is that of what nobody answers.
            *number != 0 && !self.answers.contains_key(number) && self.probe != Some(*number)
        };
        let number = (0..=u16::MAX).map(|step| self.next.wrapping_add(step)).find(is_free)?;
        self.next = number.wrapping_add(1);
        Some(number)
    }

    /// Puts messages where they are looked for. The answer to the first question, if it is among them.
    fn sort(&mut self, messages: Vec<Message>) -> Option<Message> {
        let mut probed = None;
        for message in messages {
            if !message.header.is_answer() {
                self.waiting += weight(&message);
                self.requests.push_back(message);
            } else if self.probe == Some(message.header.id) {
                self.probe = None;
                probed = Some(message);
            } else if let Some(place) = self.answers.get_mut(&message.header.id) {
                *place = Some(message);
            }
            // Else it refuses what was not waited for.
        }
        if self.waiting > MOST_WAITING {
            // Nothing of it is done any more.
            self.requests.clear();
            self.waiting = 0;
            self.over = Some(Over::Broken("more requests than can wait".to_owned()));
        }
        probed
    }
}

impl Reader {
    /// Reads once. The messages that are whole by then, which may be none.
    fn read(&mut self, socket: &OwnedFd, how: RecvFlags) -> Result<Vec<Message>, Over> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS + 1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut self.buffer)];
        let received =
            match rustix::net::recvmsg(socket, &mut slices, &mut control, how | RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => received,
                Err(Errno::INTR | Errno::AGAIN) => return Ok(Vec::new()),
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
        Ok(messages)
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

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn half_a_message_does_not_keep_anybody_beyond_their_limit() {
        let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let (own, monitor) = pair.unwrap();
        let link = Link::new(own, Some(Width::Eight));
        rustix::io::write(&monitor, &[0; 3]).unwrap();
        let (sender, told) = mpsc::channel();
        thread::spawn(move || {
            let until = Instant::now() + Duration::from_millis(50);
            sender.send(link.wait(Some(until), |_| None::<()>))
        });
        let outcome = told.recv_timeout(Duration::from_secs(20)).expect("an end of the wait");
        assert!(matches!(outcome, Err(Over::Broken(_))), "{outcome:?}");
    }
}

//! One connection to the service: a call at a time goes out, its reply comes in.
//!
//! The thread that makes a call writes it; whoever finds the reply (the link's thread, or the caller that waits
//! for it) takes it in with [`Connection::pump`] and runs what [`Pumped`] hands over, holding no lock.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use hcs_core::Cause;
use hcs_ipc::{
    Decoder,
    socket::{self, Outbox},
    varlink::{self, Received},
};

use super::failure::lost;
use crate::Error;

/// What is to be done with the outcome of a call. Runs on whichever thread found it, so it must be brief.
pub type Done = Box<dyn FnOnce(Result<Received, Error>) + Send>;

/// A call that has no reply yet.
pub struct Pending {
    /// The call, kept as long as it may have to be sent again; then empty.
    pub text: Vec<u8>,
    /// Who waits.
    pub done: Done,
    /// Of a call that was postponed: when it is given up, and what it is told then.
    pub postponed: Option<(Instant, Box<Error>)>,
}

impl Pending {
    /// A call that is new.
    pub fn new(text: Vec<u8>, done: Done) -> Pending {
        Pending { text, done, postponed: None }
    }
}

/// Reads are as large as most replies.
const BUFFER: usize = 8 << 10;

/// A connection.
pub struct Connection {
    /// Its name in the link's tables.
    pub key: u64,
    socket: OwnedFd,
    inner: Mutex<Inner>,
}

struct Inner {
    decoder: Decoder,
    outbox: Outbox,
    buffer: Box<[u8]>,
    /// Whether the service has said that this connection belongs to our session.
    joined: bool,
    /// When the service must have said it.
    joined_by: Option<Instant>,
    call: Option<Pending>,
    /// Counts the calls; the number of the latest.
    calls: u64,
    /// A caller that waits takes the replies in. Nobody else may: it would not learn that there is nothing left to
    /// wait for.
    led: bool,
    closed: bool,
}

/// What [`Connection::pump`] found.
#[derive(Default)]
pub struct Pumped {
    /// A call that has its outcome.
    pub finished: Option<(Done, Result<Received, Error>)>,
    /// A call that the service has certainly not seen, because the session was not there to be joined; and why not.
    pub unseen: Option<(Pending, Error)>,
    /// The connection is of no use any more.
    pub closed: bool,
}

impl Connection {
    /// Connects, at once or not at all: whoever makes a call may be the link's thread. The first message is the one that makes
    /// the connection part of the session; `joined_by` limits how long that may take.
    pub fn open(key: u64, path: &Path, join: Vec<u8>, joined_by: Option<Instant>) -> io::Result<Connection> {
        let socket = socket::connect_at_once(path)?;
        let mut outbox = Outbox::default();
        outbox.push(join, Vec::new());
        // The service takes it in while the caller makes up what to say. What it does not take now, the first call says again.
        let _ = outbox.flush(&socket);
        let inner = Inner {
            decoder: Decoder::default(),
            outbox,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            joined: false,
            joined_by,
            call: None,
            calls: 0,
            led: false,
            closed: false,
        };
        Ok(Connection { key, socket, inner: Mutex::new(inner) })
    }

    /// Sends a call. Gives it back if the connection turns out to be closed and the service cannot have seen it.
    /// The number is the call's on this connection.
    pub fn send(&self, call: Pending) -> Result<u64, Pending> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(call);
        }
        let unsent = inner.outbox.is_empty();
        inner.outbox.push(call.text.clone(), Vec::new());
        match inner.outbox.flush(&self.socket) {
            // A broken pipe takes nothing at all, and what follows a failed join is never read.
            Err(error) if (unsent && error.kind() == io::ErrorKind::BrokenPipe) || !inner.joined => {
                inner.closed = true;
                Err(call)
            }
            _ => {
                let text = if inner.joined { Vec::new() } else { call.text };
                inner.call = Some(Pending { text, ..call });
                inner.calls += 1;
                // Any other failure is seen as the end of the connection by whoever waits for the reply.
                Ok(inner.calls)
            }
        }
    }

    /// Sends a call that is not answered, if no other is under way. False if it cannot be sent now; then the connection is of
    /// no use any more.
    pub fn tell(&self, mut text: Vec<u8>) -> bool {
        let mut inner = self.lock();
        text.push(0);
        let is_sent = !inner.closed
            && inner.outbox.is_empty()
            && socket::send(&self.socket, &text, &[]).is_ok_and(|sent| sent == text.len());
        inner.closed |= !is_sent;
        is_sent
    }

    /// Writes and reads what is possible now. Of a connection that is led only its leader does.
    pub fn pump(&self, as_leader: bool) -> Pumped {
        let mut inner = self.lock();
        let mut pumped = Pumped::default();
        if inner.led != as_leader {
            return pumped;
        }
        if inner.closed {
            return Pumped { closed: true, ..pumped };
        }
        let result = self.exchange(&mut inner, &mut pumped);
        if let Err(lost) = result {
            inner.closed = true;
            pumped.closed = true;
            match inner.call.take() {
                Some(pending) if !inner.joined && is_of_no_session(&lost) => {
                    pumped.unseen = Some((pending, lost));
                }
                Some(Pending { done, .. }) => pumped.finished = Some((done, Err(lost))),
                None => {}
            }
        } else if inner.joined_by.is_some_and(|by| Instant::now() >= by) {
            inner.closed = true;
            pumped.closed = true;
            let late = || Err(lost(io::ErrorKind::TimedOut.into()));
            pumped.finished = inner.call.take().map(|Pending { done, .. }| (done, late()));
        }
        pumped
    }

    fn exchange(&self, inner: &mut Inner, pumped: &mut Pumped) -> Result<(), Error> {
        inner.outbox.flush(&self.socket).map_err(lost)?;
        loop {
            let Inner { buffer, decoder, .. } = inner;
            let received = match socket::receive(&self.socket, buffer) {
                Ok(received) if received.length == 0 => {
                    return Err(lost(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(lost(error)),
            };
            let full = received.length == inner.buffer.len();
            decoder
                .feed(&inner.buffer[..received.length], received.fds)
                .map_err(|error| lost(io::Error::other(error)))?;
            while let Some(message) = inner.decoder.next_message() {
                let reply = varlink::decode_reply(&message.text, message.fds);
                if !inner.joined {
                    reply?;
                    (inner.joined, inner.joined_by) = (true, None);
                    if let Some(pending) = &mut inner.call {
                        pending.text = Vec::new();
                    }
                } else if let Some(Pending { done, .. }) = inner.call.take() {
                    pumped.finished = Some((done, reply));
                }
            }
            // A whole reply in a read that did not fill the buffer: there is nothing more to come.
            if pumped.finished.is_some() && !full {
                return Ok(());
            }
        }
    }

    /// Whether the call of this number has no reply yet.
    pub fn awaits(&self, call: u64) -> bool {
        let inner = self.lock();
        inner.call.is_some() && inner.calls == call
    }

    /// When the service must have said that the connection belongs to the session.
    pub fn joined_by(&self) -> Option<Instant> {
        self.lock().joined_by
    }

    /// Makes the caller the one that takes replies in. False if there is one already.
    pub fn lead(&self) -> bool {
        !std::mem::replace(&mut self.lock().led, true)
    }

    /// Ends that. True if a call has no reply yet, so that somebody else has to look after it.
    pub fn follow(&self) -> bool {
        let mut inner = self.lock();
        inner.led = false;
        inner.call.is_some()
    }

    /// Whether bytes still wait to be written.
    pub fn wants_to_write(&self) -> bool {
        !self.lock().outbox.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether a failure to join says that the service is gone, or has been restarted and does not know the session yet. Any other
/// answer is a refusal, and asking again would bring the same.
fn is_of_no_session(error: &Error) -> bool {
    matches!(error.cause, Cause::ServiceDisconnect | Cause::NotFound)
}

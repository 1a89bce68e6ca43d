//! A connection under tokio, as hcsd uses it towards clients and towards workers.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    frame::{Decoder, Message},
    limits::{MAX_MESSAGE, MAX_PIPELINED},
    socket::{self, Outbox},
    watched::watch,
};

/// A connected socket that speaks in messages.
///
/// Only what can be read is waited for. Waiting for room to write at all times would wake the task whenever the peer
/// has read something, which is after every message.
pub struct Stream {
    socket: AsyncFd<OwnedFd>,
    /// Exists while the peer does not take what is queued.
    room: Option<AsyncFd<OwnedFd>>,
    decoder: Decoder,
    outbox: Outbox,
    buffer: Box<[u8]>,
}

/// Small, because most messages are; a large document is read in several turns.
const BUFFER: usize = 16 << 10;

impl Stream {
    /// Wraps a connected socket.
    pub fn new(socket: OwnedFd) -> io::Result<Stream> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Stream {
            socket: watch(socket, Interest::READABLE)?,
            room: None,
            decoder: Decoder::default(),
            outbox: Outbox::default(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
        })
    }

    /// The socket, for questions about the peer.
    pub fn as_socket(&self) -> impl AsFd + '_ {
        &self.socket
    }

    /// The next message, or `None` when the peer has closed. Meanwhile what is queued goes out. Cancel safe:
    /// nothing is lost when dropped.
    pub async fn receive(&mut self) -> io::Result<Option<Message>> {
        loop {
            if let Some(message) = self.decoder.next_message() {
                return Ok(Some(message));
            }
            if !self.read().await? {
                return Ok(None);
            }
            if self.decoder.waiting() > MAX_PIPELINED {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "too many calls sent ahead"));
            }
        }
    }

    /// Reads once what is there; false when the peer has closed. A read is always tried before something is waited
    /// for: the readiness of what is there may have been used up.
    async fn read(&mut self) -> io::Result<bool> {
        let received = loop {
            self.send_queued()?;
            match socket::receive(&self.socket, &mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait().await?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.decoder
            .feed(&self.buffer[..received.length], received.fds)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(received.length > 0)
    }

    /// Waits until something can be read, or queued bytes can be written.
    async fn wait(&self) -> io::Result<()> {
        let Stream { socket, room, .. } = self;
        match room {
            None => socket.readable().await?.clear_ready(),
            Some(room) => tokio::select! {
                ready = socket.readable() => ready?.clear_ready(),
                ready = room.writable() => ready?.clear_ready(),
            },
        }
        Ok(())
    }

    /// Writes what the socket takes now. What it does not take waits for room.
    fn send_queued(&mut self) -> io::Result<()> {
        match (self.outbox.flush(&self.socket)?, &self.room) {
            (true, _) => self.room = None,
            (false, Some(_)) => {}
            (false, None) => {
                let socket = self.socket.get_ref().try_clone()?;
                self.room = Some(watch(socket, Interest::WRITABLE)?);
            }
        }
        Ok(())
    }

    /// Sends a message and waits until the socket has taken it.
    pub async fn send(&mut self, text: Vec<u8>, fds: Vec<OwnedFd>) -> io::Result<()> {
        self.queue(text, fds)?;
        self.flush().await
    }

    /// Whether the peer has closed or broken the connection, told without taking a message. Cancel safe.
    pub async fn closed(&mut self) {
        // A peer that sends ahead is alive; its bytes are kept for later.
        while self.decoder.waiting() <= MAX_PIPELINED && matches!(self.read().await, Ok(true)) {}
    }

    /// Queues a message without waiting; refuses when the peer has not taken far too much already.
    pub fn queue(&mut self, text: Vec<u8>, fds: Vec<OwnedFd>) -> io::Result<()> {
        if self.outbox.waiting_bytes() > 2 * MAX_MESSAGE {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "the peer does not read"));
        }
        self.outbox.push(text, fds);
        Ok(())
    }

    /// Waits until everything queued is out. Cancel safe.
    pub async fn flush(&mut self) -> io::Result<()> {
        // Mostly the socket takes everything at once, and no room needs to be waited for.
        loop {
            self.send_queued()?;
            match &self.room {
                None => return Ok(()),
                Some(room) => room.writable().await?.clear_ready(),
            }
        }
    }
}

//! A connection under tokio, as hcsd uses it towards clients and towards workers.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    os::unix::net::UnixStream as StdStream,
};

use tokio::{io::Interest, net::UnixStream};

use crate::{
    frame::{Decoder, Message},
    limits::{MAX_MESSAGE, MAX_PIPELINED},
    socket::{self, Outbox},
};

/// A connected socket that speaks in messages.
pub struct Stream {
    socket: UnixStream,
    decoder: Decoder,
    outbox: Outbox,
    buffer: Box<[u8]>,
}

/// Small, because most messages are; a large document is read in several turns.
const BUFFER: usize = 16 << 10;

impl Stream {
    /// Wraps a connected socket.
    pub fn new(socket: OwnedFd) -> io::Result<Stream> {
        let socket = StdStream::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Stream {
            socket: UnixStream::from_std(socket)?,
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
            let all_out = self.outbox.flush(&self.socket)?;
            let Stream { socket, buffer, .. } = self;
            let received = match socket::receive(&*socket, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && all_out => {
                    socket.async_io(Interest::READABLE, || socket::receive(&*socket, buffer)).await?
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for_either().await?;
                    continue;
                }
                other => other?,
            };
            if received.length == 0 {
                return Ok(None);
            }
            self.decoder
                .feed(&self.buffer[..received.length], received.fds)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if self.decoder.waiting() > MAX_PIPELINED {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "too many calls sent ahead"));
            }
        }
    }

    /// Waits until the socket can be read or written, and makes tokio look anew.
    async fn wait_for_either(&self) -> io::Result<()> {
        let ready = self.socket.ready(Interest::READABLE | Interest::WRITABLE).await?;
        for (is_ready, interest) in
            [(ready.is_readable(), Interest::READABLE), (ready.is_writable(), Interest::WRITABLE)]
        {
            if is_ready {
                // The readiness is used up; a WouldBlock clears it, so that the next wait is a true one.
                let _ =
                    self.socket.try_io(interest, || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into()));
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
        while self.decoder.waiting() <= MAX_PIPELINED {
            let Stream { socket, buffer, .. } = self;
            match socket.async_io(Interest::READABLE, || socket::receive(&*socket, buffer)).await {
                Ok(received) if received.length > 0 => {
                    if self.decoder.feed(&self.buffer[..received.length], received.fds).is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
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
        let Stream { socket, outbox, .. } = self;
        // Mostly the socket takes everything at once, and no readiness needs to be waited for.
        while !outbox.flush(&*socket)? {
            socket
                .async_io(Interest::WRITABLE, || {
                    outbox.flush(&*socket)?.then_some(()).ok_or(io::ErrorKind::WouldBlock.into())
                })
                .await?;
        }
        Ok(())
    }
}

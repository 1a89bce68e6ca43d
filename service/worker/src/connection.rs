//! The connection to hcsd: messages in and out without waiting.

use std::{io, os::fd::OwnedFd};

use hcs_ipc::{
    Decoder, Message,
    socket::{self, Outbox},
};
use serde::Serialize;

/// A connected hcsd.
pub struct Connection {
    /// For the poll.
    pub socket: OwnedFd,
    decoder: Decoder,
    outbox: Outbox,
    /// Whether the versions have been agreed on.
    pub greeted: bool,
}

/// The connection is to be given up.
pub struct Broken;

/// How much a read has brought.
#[derive(PartialEq, Eq)]
enum Read {
    /// All that there was.
    All,
    /// There may be more.
    Full,
}

impl Connection {
    /// Wraps an accepted socket, if root or our own user is at the other end.
    pub fn accept(socket: OwnedFd) -> Option<Connection> {
        let peer = socket::peer(&socket).ok()?;
        let own = rustix::process::geteuid().as_raw();
        (peer.uid == 0 || peer.uid == own).then(|| Connection::new(socket))
    }

    /// Wraps the connection that this process was started with.
    pub fn new(socket: OwnedFd) -> Connection {
        Connection { socket, decoder: Decoder::default(), outbox: Outbox::default(), greeted: false }
    }

    /// Reads what is there and returns the complete messages.
    pub fn receive(&mut self) -> Result<Vec<Message>, Broken> {
        while self.read()? == Read::Full {}
        Ok(self.whole())
    }

    /// Reads once, from somebody who is trusted with little: who sends more of a message than `most` bytes is given up. What came
    /// before that is returned beside it.
    pub fn receive_little(&mut self, most: usize) -> (Vec<Message>, Result<(), Broken>) {
        let outcome = match self.read() {
            Ok(_) if self.decoder.partial_length() <= most => Ok(()),
            Ok(_) | Err(Broken) => Err(Broken),
        };
        (self.whole(), outcome)
    }

    fn read(&mut self) -> Result<Read, Broken> {
        let mut buffer = [0; 16 << 10];
        match socket::receive(&self.socket, &mut buffer) {
            Ok(received) if received.length == 0 => Err(Broken),
            Ok(received) => {
                self.decoder.feed(&buffer[..received.length], received.fds).map_err(|_| Broken)?;
                Ok(if received.length < buffer.len() { Read::All } else { Read::Full })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Read::All),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Read::Full),
            Err(_) => Err(Broken),
        }
    }

    fn whole(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.decoder.next_message()).collect()
    }

    /// Sends a message; what the socket does not take now goes out when it is writable.
    pub fn send(&mut self, message: &impl Serialize, fds: Vec<OwnedFd>) -> Result<(), Broken> {
        let text = serde_json::to_vec(message).map_err(|_| Broken)?;
        self.outbox.push(text, fds);
        self.flush()
    }

    /// Sends what waits.
    pub fn flush(&mut self) -> Result<(), Broken> {
        self.outbox.flush(&self.socket).map(|_| ()).map_err(|_| Broken)
    }

    /// Whether something waits.
    pub fn has_unsent(&self) -> bool {
        !self.outbox.is_empty()
    }
}

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
        let mut buffer = [0; 16 << 10];
        loop {
            match socket::receive(&self.socket, &mut buffer) {
                Ok(received) if received.length == 0 => return Err(Broken),
                Ok(received) => {
                    self.decoder.feed(&buffer[..received.length], received.fds).map_err(|_| Broken)?;
                    if received.length < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken),
            }
        }
        Ok(std::iter::from_fn(|| self.decoder.next_message()).collect())
    }

    /// Reads once, from somebody who is trusted with little: who sends descriptors, or more of a message than `most` bytes, is
    /// given up. What came before that is returned beside it.
    pub fn receive_little(&mut self, most: usize) -> (Vec<Message>, Result<(), Broken>) {
        let mut buffer = [0; 16 << 10];
        let outcome = match socket::receive(&self.socket, &mut buffer) {
            Ok(received) if received.length == 0 => Err(Broken),
            Ok(received) => {
                let fed = self.decoder.feed(&buffer[..received.length], received.fds).map_err(|_| Broken);
                let is_little = self.decoder.partial_length() <= most;
                fed.and(if is_little { Ok(()) } else { Err(Broken) })
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(())
            }
            Err(_) => Err(Broken),
        };
        (std::iter::from_fn(|| self.decoder.next_message()).collect(), outcome)
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

//! The connection that carries the session's events. It is the session's life: the service closes the handles
//! when it ends.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use hcs_ipc::{
    Decoder,
    compute::{Attach, AttachReply, Method},
    socket::{self, Outbox},
    varlink,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::failure::lost;
use crate::Error;

/// The connection.
pub struct Attachment {
    socket: OwnedFd,
    decoder: Decoder,
    outbox: Outbox,
    next_sequence: u64,
}

impl Attachment {
    /// Asks for the session, over a socket that is connected.
    pub fn begin(socket: OwnedFd, call: &Attach) -> io::Result<Attachment> {
        let mut outbox = Outbox::default();
        outbox.push(varlink::encode_call(Attach::NAME, call, true)?, Vec::new());
        let mut attachment = Attachment { socket, decoder: Decoder::default(), outbox, next_sequence: 1 };
        attachment.outbox.flush(&attachment.socket)?;
        Ok(attachment)
    }

    /// What has come by now. An error is the end of the connection.
    pub fn receive(&mut self) -> Result<Vec<AttachReply>, Error> {
        self.outbox.flush(&self.socket).map_err(lost)?;
        let mut replies = Vec::new();
        let mut buffer = [0; 8 << 10];
        loop {
            while let Some(message) = self.decoder.next_message() {
                let received = varlink::decode_reply(&message.text, message.fds)?;
                let reply: AttachReply = serde_json::from_str(received.parameters.get())
                    .map_err(|error| lost(io::Error::new(io::ErrorKind::InvalidData, error)))?;
                if let Some(event) = &reply.event {
                    if event.sequence != self.next_sequence {
                        return Err(lost(io::Error::other("events are missing")));
                    }
                    self.next_sequence += 1;
                }
                replies.push(reply);
            }
            match socket::receive(&self.socket, &mut buffer) {
                // What came before the end still counts; the end is seen next time.
                Ok(received) if received.length == 0 && !replies.is_empty() => return Ok(replies),
                Ok(received) if received.length == 0 => {
                    return Err(lost(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(received) => self
                    .decoder
                    .feed(&buffer[..received.length], received.fds)
                    .map_err(|error| lost(io::Error::other(error)))?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(replies),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(error)),
            }
        }
    }

    /// Waits for the first replies, for so long at most.
    pub fn first(&mut self, patience: Duration) -> Result<Vec<AttachReply>, Error> {
        let deadline = Instant::now() + patience;
        loop {
            let replies = self.receive()?;
            if !replies.is_empty() {
                return Ok(replies);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(lost(io::ErrorKind::TimedOut.into()));
            }
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, !self.outbox.is_empty());
            // An interrupted wait is a look too early; the loop looks again.
            let _ = poll(&mut [PollFd::new(&self.socket, flags)], Timespec::try_from(left).ok().as_ref());
        }
    }

    /// Whether bytes still wait to be written.
    pub fn wants_to_write(&self) -> bool {
        !self.outbox.is_empty()
    }
}

impl AsFd for Attachment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

//! Framing: messages are byte strings ended by a NUL; file descriptors travel beside them.
//!
//! Which message do descriptors belong to? A sender attaches them to the first byte of their message. The
//! kernel ends a read right behind the bytes that carried descriptors, so the last byte of such a read lies
//! inside their message. [`Decoder::feed`] is therefore called once per read, with exactly the bytes and
//! descriptors of that read, and gives the descriptors to the message that contains its last byte.

use std::{collections::VecDeque, os::fd::OwnedFd};

use crate::limits::{MAX_FDS_PER_MESSAGE, MAX_MESSAGE};

/// A message without its NUL, and the descriptors that came with it. Those not taken are closed on drop.
#[derive(Debug, Default)]
pub struct Message {
    /// The JSON text.
    pub text: Vec<u8>,
    /// The descriptors.
    pub fds: Vec<OwnedFd>,
}

/// Why a peer is no longer listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A message grew past the limit.
    #[error("a message is larger than {MAX_MESSAGE} bytes")]
    TooLarge,
    /// A message carried more descriptors than the limit.
    #[error("a message carries more than {MAX_FDS_PER_MESSAGE} file descriptors")]
    TooManyFds,
    /// A message contained nothing.
    #[error("a message is empty")]
    Empty,
}

/// Turns reads into messages.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Message,
    ready: VecDeque<Message>,
}

impl Decoder {
    /// Takes in what one read delivered.
    pub fn feed(&mut self, bytes: &[u8], fds: Vec<OwnedFd>) -> Result<(), FrameError> {
        let mut rest = bytes;
        let mut fds = Some(fds);
        while let Some(end) = rest.iter().position(|byte| *byte == 0) {
            self.append(&rest[..end])?;
            rest = &rest[end + 1..];
            if rest.is_empty() {
                self.attach(fds.take().unwrap_or_default())?;
            }
            if self.partial.text.is_empty() {
                return Err(FrameError::Empty);
            }
            self.ready.push_back(std::mem::take(&mut self.partial));
        }
        self.append(rest)?;
        self.attach(fds.unwrap_or_default())
    }

    /// The next complete message.
    pub fn next_message(&mut self) -> Option<Message> {
        self.ready.pop_front()
    }

    /// How many complete messages wait.
    pub fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// How long the message is that has come only in part: less than others may send is a limit for who reads.
    pub fn partial_length(&self) -> usize {
        self.partial.text.len()
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if self.partial.text.len() + bytes.len() > MAX_MESSAGE {
            return Err(FrameError::TooLarge);
        }
        self.partial.text.extend_from_slice(bytes);
        Ok(())
    }

    fn attach(&mut self, fds: Vec<OwnedFd>) -> Result<(), FrameError> {
        if self.partial.fds.len() + fds.len() > MAX_FDS_PER_MESSAGE {
            return Err(FrameError::TooManyFds);
        }
        self.partial.fds.extend(fds);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    fn fd() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let wire = b"{\"a\":1}\0{\"b\":2}\0";
        for cut in 0..=wire.len() {
            let mut decoder = Decoder::default();
            for part in [&wire[..cut], &wire[cut..]] {
                decoder.feed(part, vec![]).unwrap();
            }
            assert_eq!(decoder.next_message().unwrap().text, b"{\"a\":1}");
            assert_eq!(decoder.next_message().unwrap().text, b"{\"b\":2}");
            assert!(decoder.next_message().is_none());
            assert_eq!(decoder.partial_length(), 0);
        }
    }

    #[test]
    fn descriptors_go_to_the_message_with_the_last_byte_of_their_read() {
        let mut decoder = Decoder::default();
        let (first, second) = (fd(), fd());
        let (first_number, second_number) = (first.as_raw_fd(), second.as_raw_fd());
        decoder.feed(b"one\0two", vec![first]).unwrap();
        decoder.feed(b"\0three\0", vec![second]).unwrap();
        assert!(decoder.next_message().unwrap().fds.is_empty());
        assert_eq!(decoder.next_message().unwrap().fds[0].as_raw_fd(), first_number);
        assert_eq!(decoder.next_message().unwrap().fds[0].as_raw_fd(), second_number);
    }

    #[test]
    fn limits_are_enforced() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.feed(&vec![b'x'; MAX_MESSAGE + 1], vec![]), Err(FrameError::TooLarge));
        let fds = (0..=MAX_FDS_PER_MESSAGE).map(|_| fd()).collect();
        assert_eq!(Decoder::default().feed(b"x", fds), Err(FrameError::TooManyFds));
        assert_eq!(Decoder::default().feed(b"\0", vec![]), Err(FrameError::Empty));
    }
}

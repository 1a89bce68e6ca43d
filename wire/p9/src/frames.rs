//! Whole messages in the bytes that come.

use crate::HEADER;

/// A message whose length nobody has agreed to. What follows cannot be understood either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAMessage;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub kind: u8,
    /// By what its reply is known.
    pub tag: u16,
    /// What follows.
    pub body: &'a [u8],
}

/// Collects bytes until messages are whole.
#[derive(Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Up to here they have been looked at.
    done: usize,
    most: usize,
}

impl Frames {
    /// With this limit for a message.
    pub fn new(most: u32) -> Frames {
        Frames { bytes: Vec::new(), done: 0, most: most as usize }
    }

    /// Messages are at most so long from now on.
    pub fn limit(&mut self, most: u32) {
        self.most = most as usize;
    }

    /// Adds what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.done);
        self.done = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// How much was added and is in no message that was taken.
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.done
    }

    /// Whether [`Frames::take`] has something to say.
    pub fn has_message(&self) -> bool {
        !matches!(self.length(), Ok(None))
    }

    /// The length of the first message, when it is whole.
    fn length(&self) -> Result<Option<usize>, NotAMessage> {
        let bytes = &self.bytes[self.done..];
        let Some(length) = bytes.first_chunk() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        match (HEADER..=self.most).contains(&length) {
            true => Ok((bytes.len() >= length).then_some(length)),
            false => Err(NotAMessage),
        }
    }

    /// Takes the first message, when it is whole.
    pub fn take(&mut self) -> Result<Option<Message<'_>>, NotAMessage> {
        let Some(length) = self.length()? else { return Ok(None) };
        let message = &self.bytes[self.done..self.done + length];
        self.done += length;
        Ok(Some(Message {
            kind: message[4],
            tag: u16::from_le_bytes([message[5], message[6]]),
            body: &message[HEADER..],
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request, Text};

    #[test]
    fn messages_are_found_however_they_come() {
        let mut bytes = Vec::new();
        Request::Flush { tag: 7 }.put(1, &mut bytes);
        Request::Clunk { fid: 3 }.put(2, &mut bytes);
        for piece in 1..=bytes.len() {
            let mut frames = Frames::new(100);
            let mut tags = Vec::new();
            for part in bytes.chunks(piece) {
                frames.push(part);
                while let Some(message) = frames.take().unwrap() {
                    tags.push((message.kind, message.tag, message.body.len()));
                }
            }
            assert_eq!(tags, [(108, 1, 2), (120, 2, 4)]);
            assert!(!frames.has_message() && frames.waiting() == 0);
        }
    }

    #[test]
    fn a_length_that_was_not_agreed_to_is_no_message() {
        for length in [0u32, 6, 101, u32::MAX] {
            let mut frames = Frames::new(100);
            frames.push(&length.to_le_bytes());
            assert!(frames.has_message());
            assert_eq!(frames.take(), Err(NotAMessage), "{length}");
        }
        let mut frames = Frames::new(100);
        let mut long = Vec::new();
        Request::Version { msize: 1, version: Text(&[b'v'; 90]) }.put(0, &mut long);
        frames.push(&long);
        assert_eq!(frames.take(), Err(NotAMessage));
        frames.limit(200);
        assert!(frames.take().unwrap().is_some());
    }
}

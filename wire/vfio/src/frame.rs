//! Messages: a header, then a body. The header says how long both are.

use std::{collections::VecDeque, os::fd::OwnedFd};

use crate::{Broken, MOST_DATA, MOST_FDS, broken};

/// The length of a header.
pub const HEADER: usize = 16;
/// The longest message: the most data, and what stands before it.
pub const LONGEST: usize = MOST_DATA + 64;

/// What a message is about.
pub mod command {
    #![expect(missing_docs, reason = "the names are those of the protocol")]
    pub const VERSION: u16 = 1;
    pub const DMA_MAP: u16 = 2;
    pub const DMA_UNMAP: u16 = 3;
    pub const GET_INFO: u16 = 4;
    pub const GET_REGION_INFO: u16 = 5;
    pub const GET_REGION_IO_FDS: u16 = 6;
    pub const GET_IRQ_INFO: u16 = 7;
    pub const SET_IRQS: u16 = 8;
    pub const REGION_READ: u16 = 9;
    pub const REGION_WRITE: u16 = 10;
    pub const DMA_READ: u16 = 11;
    pub const DMA_WRITE: u16 = 12;
    pub const RESET: u16 = 13;
}

const KIND: u32 = 0xf;
const IS_REPLY: u32 = 1;
const NO_REPLY: u32 = 1 << 4;
const IS_ERROR: u32 = 1 << 5;

/// The header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who asks chooses it, who answers repeats it.
    pub id: u16,
    /// What it is about.
    pub command: u16,
    /// How long the message is, with this header.
    pub size: u32,
    flags: u32,
    /// Why it was refused.
    errno: u32,
}

impl Header {
    /// Of a request with a body of this length.
    pub fn request(id: u16, command: u16, body: usize, is_answered: bool) -> Header {
        let flags = if is_answered { 0 } else { NO_REPLY };
        Header { id, command, size: (HEADER + body) as u32, flags, errno: 0 }
    }

    /// Of the answer to this one, with a body of this length.
    pub fn answer(&self, body: usize) -> Header {
        Header { size: (HEADER + body) as u32, flags: IS_REPLY, errno: 0, ..*self }
    }

    /// Of the refusal of this one.
    pub fn refusal(&self, errno: i32) -> Header {
        Header { size: HEADER as u32, flags: IS_REPLY | IS_ERROR, errno: errno.unsigned_abs(), ..*self }
    }

    /// Whether it is an answer.
    pub fn is_answer(&self) -> bool {
        self.flags & KIND == IS_REPLY
    }

    /// Whether who asks does not want to hear of it.
    pub fn wants_no_answer(&self) -> bool {
        self.flags & NO_REPLY != 0
    }

    /// Why it was refused, if it was.
    pub fn refused(&self) -> Option<i32> {
        (self.flags & IS_ERROR != 0).then_some(self.errno as i32)
    }

    /// Its bytes.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..2].copy_from_slice(&self.id.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.command.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.size.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.flags.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.errno.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8; HEADER]) -> Result<Header, Broken> {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
        let header = Header {
            id: u16::from_le_bytes([a, b]),
            command: u16::from_le_bytes([c, d]),
            size: u32::from_le_bytes([e, f, g, h]),
            flags: u32::from_le_bytes([i, j, k, l]),
            errno: u32::from_le_bytes([m, n, o, p]),
        };
        match header.size as usize {
            size if size < HEADER => {
                broken(format!("a message of {size} bytes, which has no room for its header"))
            }
            size if size > LONGEST => {
                broken(format!("a message of {size} bytes, and {LONGEST} are the most"))
            }
            _ if header.flags & KIND > IS_REPLY => {
                broken(format!("a message with the flags {:#x}", header.flags))
            }
            _ => Ok(header),
        }
    }
}

/// A message.
#[derive(Debug)]
pub struct Message {
    /// Its header.
    pub header: Header,
    /// What stands behind it.
    pub body: Vec<u8>,
    /// What came beside it.
    pub fds: Vec<OwnedFd>,
}

/// Finds messages in what comes.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// How many bytes of those are told already.
    told: usize,
    /// How many bytes came before the first of them.
    before: u64,
    /// Descriptors, with where the bytes ended that they came with.
    fds: VecDeque<(u64, Vec<OwnedFd>)>,
}

impl Decoder {
    /// Takes what one read has brought.
    ///
    /// The kernel ends a read behind the piece that descriptors came with, and who sends them sends a message as one piece. So
    /// they belong to the last message that begins in what was read.
    pub fn feed(&mut self, bytes: &[u8], fds: Vec<OwnedFd>) -> Result<(), Broken> {
        if fds.len() > MOST_FDS || self.fds.len() > MOST_FDS {
            return broken("more descriptors than a message may have");
        }
        if self.told == self.bytes.len() {
            self.before += self.told as u64;
            self.told = 0;
            self.bytes.clear();
        }
        self.bytes.extend_from_slice(bytes);
        if !fds.is_empty() {
            self.fds.push_back((self.before + self.bytes.len() as u64, fds));
        }
        Ok(())
    }

    /// The next message, if it is whole.
    pub fn next_message(&mut self) -> Result<Option<Message>, Broken> {
        let rest = &self.bytes[self.told..];
        let Some(header) = rest.first_chunk::<HEADER>() else { return Ok(None) };
        let header = Header::read(header)?;
        let Some(message) = rest.get(..header.size as usize) else { return Ok(None) };
        let body = message[HEADER..].to_vec();
        self.told += message.len();
        let end = self.before + self.told as u64;
        let mut fds = Vec::new();
        while self.fds.front().is_some_and(|(until, _)| *until <= end) {
            if !fds.is_empty() {
                return broken("descriptors in the middle of a message");
            }
            fds = self.fds.pop_front().map(|(_, came)| came).unwrap_or_default();
        }
        if self.told >= LONGEST {
            self.before += self.told as u64;
            self.bytes.drain(..self.told);
            self.told = 0;
        }
        Ok(Some(Message { header, body, fds }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(id: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = Header::request(id, command::RESET, body.len(), true).bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    fn descriptor() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    proptest! {
        #[test]
        fn messages_come_out_whole_however_they_come_in(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..8),
            piece in 1usize..40,
        ) {
            let stream: Vec<u8> = bodies.iter().enumerate().flat_map(|(id, body)| message(id as u16, body)).collect();
            let (mut decoder, mut found) = (Decoder::default(), Vec::new());
            for piece in stream.chunks(piece) {
                decoder.feed(piece, Vec::new()).unwrap();
                while let Some(message) = decoder.next_message().unwrap() {
                    prop_assert_eq!(usize::from(message.header.id), found.len());
                    found.push(message.body);
                }
            }
            prop_assert_eq!(found, bodies);
        }

        #[test]
        fn anything_is_a_message_or_an_error(stream in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.feed(&stream, Vec::new()).unwrap();
            while let Ok(Some(_)) = decoder.next_message() {}
        }
    }

    #[test]
    fn descriptors_belong_to_the_last_message_that_came_with_them() {
        let mut decoder = Decoder::default();
        decoder.feed(&[message(1, b"a"), message(2, b"bc")].concat(), vec![descriptor()]).unwrap();
        let third = message(3, b"defg");
        decoder.feed(&third[..18], vec![descriptor(), descriptor()]).unwrap();
        decoder.feed(&third[18..], Vec::new()).unwrap();
        let counts: Vec<usize> =
            std::iter::from_fn(|| decoder.next_message().unwrap()).map(|message| message.fds.len()).collect();
        assert_eq!(counts, [0, 1, 2]);
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        for size in [0u32, 15, LONGEST as u32 + 1, u32::MAX] {
            let mut bytes = message(1, b"");
            bytes[4..8].copy_from_slice(&size.to_le_bytes());
            let mut decoder = Decoder::default();
            decoder.feed(&bytes, Vec::new()).unwrap();
            assert!(decoder.next_message().is_err(), "{size}");
        }
    }
}

//! Messages as bytes: a head of 16 bytes, and JSON.

use serde::Serialize;

use crate::rpc::MessageType;

const HEAD: usize = 16;

/// The most that a guest sends in one message: hosts that others have written take no more.
pub const MOST_OF_GUEST: usize = 64 << 10;
/// The most that our host sends or takes.
pub const MOST_OF_HOST: usize = 16 << 20;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is called.
    pub message: MessageType,
    /// Which it is: a response has that of its request.
    pub id: u64,
    /// What it says, as JSON.
    pub body: Vec<u8>,
}

/// Bytes that are no messages; nothing that follows can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The head says a size that no message has.
    #[error("a message says that it has {0} bytes, and it may have {HEAD} to {1}")]
    Size(u32, usize),
    /// What is to be sent is too long.
    #[error("a message would have {0} bytes, and it may have {1}")]
    TooLong(usize, usize),
    /// What is to be sent cannot be written as JSON.
    #[error("a message cannot be written: {0}")]
    Unwritable(String),
}

/// Writes a message.
pub fn encode(
    message: MessageType,
    id: u64,
    body: &impl Serialize,
    most: usize,
) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; HEAD];
    serde_json::to_writer(&mut bytes, body).map_err(|error| FrameError::Unwritable(error.to_string()))?;
    let size = bytes.len();
    if size > most || u32::try_from(size).is_err() {
        return Err(FrameError::TooLong(size, most));
    }
    bytes[..4].copy_from_slice(&message.0.to_le_bytes());
    bytes[4..8].copy_from_slice(&(size as u32).to_le_bytes());
    bytes[8..HEAD].copy_from_slice(&id.to_le_bytes());
    Ok(bytes)
}

/// Finds messages in what comes in pieces.
#[derive(Debug)]
pub struct Decoder {
    received: Vec<u8>,
    most: usize,
    broken: Option<FrameError>,
}

impl Decoder {
    /// Takes messages of this size at most.
    pub fn new(most: usize) -> Decoder {
        Decoder { received: Vec::new(), most, broken: None }
    }

    /// Something has come. No more is kept than one message of the largest size, and what came behind it.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.received.extend_from_slice(bytes);
        }
    }

    /// The next message that is whole.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let Some(head) = self.received.first_chunk::<HEAD>() else { return Ok(None) };
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (message, size) = (MessageType(word(0)), word(4));
        let id = u64::from(word(8)) | u64::from(word(12)) << 32;
        let length = size as usize;
        if !(HEAD..=self.most).contains(&length) {
            let error = FrameError::Size(size, self.most);
            self.received = Vec::new();
            self.broken = Some(error.clone());
            return Err(error);
        }
        if self.received.len() < length {
            return Ok(None);
        }
        let body = self.received[HEAD..length].to_vec();
        self.received.drain(..length);
        Ok(Some(Frame { message, id, body }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rpc::Rpc;

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut() {
        let mut bytes = Vec::new();
        let request = MessageType::request(Rpc::Start);
        for id in [0, 7, u64::MAX] {
            bytes.extend(encode(request, id, &json!({"ContainerId": "c", "n": id}), 1000).unwrap());
        }
        for step in 1..40 {
            let mut decoder = Decoder::new(1000);
            let mut found = Vec::new();
            for piece in bytes.chunks(step) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    found.push(frame);
                }
            }
            let ids: Vec<u64> = found.iter().map(|frame| frame.id).collect();
            assert_eq!(ids, [0, 7, u64::MAX], "{step}");
            assert!(found.iter().all(|frame| frame.message == request));
        }
    }

    #[test]
    fn a_message_that_is_too_long_or_too_short_ends_the_conversation() {
        assert!(matches!(
            encode(MessageType(1), 0, &"x".repeat(100), 100),
            Err(FrameError::TooLong(118, 100))
        ));
        for size in [0u32, 15, 101, u32::MAX] {
            let mut decoder = Decoder::new(100);
            let mut head = [0; HEAD];
            head[4..8].copy_from_slice(&size.to_le_bytes());
            decoder.push(&head);
            assert_eq!(decoder.next_frame(), Err(FrameError::Size(size, 100)));
            decoder.push(&[0; 1000]);
            assert_eq!(decoder.next_frame(), Err(FrameError::Size(size, 100)));
        }
        let mut whole = Decoder::new(100);
        whole.push(&encode(MessageType(1), 3, &"x".repeat(82), 100).unwrap());
        assert_eq!(whole.next_frame().unwrap().unwrap().body.len(), 84);
    }
}

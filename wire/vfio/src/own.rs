//! What the device asks of the monitor: memory of the guest that it has no file of, and interrupts, which are writes too.

use crate::{
    Broken, broken,
    frame::{Header, Message, command},
};

/// How a monitor writes the length of such an access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Width {
    /// As the protocol says: in eight bytes.
    #[default]
    Eight,
    /// As QEMU had it before 11.1: in four, and the data begins right behind; and a message has at least four bytes more.
    Four,
}

impl Width {
    fn place(self, address: u64, length: u32) -> Vec<u8> {
        let mut body = address.to_le_bytes().to_vec();
        body.extend_from_slice(&length.to_le_bytes());
        if self == Width::Eight {
            body.extend_from_slice(&[0; 4]);
        }
        body
    }

    fn end(self) -> &'static [u8] {
        match self {
            Width::Eight => &[],
            Width::Four => &[0; 4],
        }
    }

    fn data_at(self) -> usize {
        match self {
            Width::Eight => 16,
            Width::Four => 12,
        }
    }
}

fn message(id: u16, command: u16, body: &[u8], is_answered: bool) -> Vec<u8> {
    let mut bytes = Header::request(id, command, body.len(), is_answered).bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

/// Asks for memory.
pub fn read(width: Width, id: u16, address: u64, length: u32) -> Vec<u8> {
    let body = [&width.place(address, length), width.end()].concat();
    message(id, command::DMA_READ, &body, true)
}

/// Writes memory.
pub fn write(width: Width, id: u16, address: u64, data: &[u8], is_answered: bool) -> Vec<u8> {
    let body = [&width.place(address, data.len() as u32), data, width.end()].concat();
    message(id, command::DMA_WRITE, &body, is_answered)
}

/// Finds out how a monitor writes lengths: asks for memory of which nobody has as much if the length takes eight bytes, and for
/// one byte if it takes four.
pub fn probe(id: u16) -> Vec<u8> {
    let mut body = [0; 16];
    (body[8], body[12]) = (1, 1);
    message(id, command::DMA_READ, &body, true)
}

/// What the answer to that says.
pub fn probed(answer: &Message) -> Width {
    const TOO_LONG: i32 = 7;
    match answer.header.refused() {
        Some(TOO_LONG) => Width::Eight,
        _ => Width::Four,
    }
}

/// What was read.
pub fn data(width: Width, answer: &Message, length: usize) -> Result<&[u8], Broken> {
    match answer.body.get(width.data_at()..).and_then(|data| data.get(..length)) {
        Some(data) => Ok(data),
        None => broken(format!("{} bytes of memory, and {length} were asked for", answer.body.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Decoder, HEADER};

    fn answer(refused: Option<i32>, body: &[u8]) -> Message {
        let asked = Header::request(1, command::DMA_READ, 0, true);
        let header = refused.map_or_else(|| asked.answer(body.len()), |errno| asked.refusal(errno));
        let mut decoder = Decoder::default();
        decoder.feed(&[&header.bytes()[..], body].concat(), Vec::new()).unwrap();
        decoder.next_message().unwrap().unwrap()
    }

    #[test]
    fn a_monitor_tells_by_its_refusal_how_it_writes_lengths() {
        assert_eq!(probed(&answer(Some(7), &[])), Width::Eight);
        // It has read a byte, or there was none.
        assert_eq!(probed(&answer(None, &[0; 17])), Width::Four);
        assert_eq!(probed(&answer(Some(14), &[])), Width::Four);
    }

    #[test]
    fn accesses_are_laid_out_as_each_reads_them() {
        let eight = write(Width::Eight, 1, 0xfee0_0000, &[1, 2, 3, 4], false);
        assert_eq!(eight[HEADER + 8..], [4, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
        // The data lies right behind the length, and the message is as long as the other.
        let four = write(Width::Four, 1, 0xfee0_0000, &[1, 2, 3, 4], false);
        assert_eq!(four[HEADER + 8..], [4, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0]);
        let said = [&[0; 12][..], b"data", &[0; 4]].concat();
        assert_eq!(data(Width::Four, &answer(None, &said), 4).unwrap(), b"data");
        let said = [&[0; 16][..], b"data"].concat();
        assert_eq!(data(Width::Eight, &answer(None, &said), 4).unwrap(), b"data");
        assert!(data(Width::Eight, &answer(None, &said), 5).is_err());
    }
}

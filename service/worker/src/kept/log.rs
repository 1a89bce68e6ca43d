//! What one process has said, or the consoles of a machine: pieces in the order in which they were heard, as many as fit.

use std::{
    collections::VecDeque,
    time::{SystemTime, UNIX_EPOCH},
};

use hcs_ipc::compute::OutputStream;

/// What a piece costs beside its bytes. Without it, who speaks letter by letter would have many times the memory that was
/// allowed.
const COST: usize = 64;

/// Some bytes that were heard at once.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its place among all pieces of the system.
    pub number: u64,
    /// When it was heard, in microseconds since 1970.
    pub time: u64,
    /// Where.
    pub stream: OutputStream,
    /// How much was said before.
    pub offset: u64,
    /// What.
    pub bytes: Box<[u8]>,
}

/// The pieces.
pub struct Log {
    pieces: VecDeque<Piece>,
    /// What they cost.
    size: usize,
    most: usize,
    /// All that was ever said.
    said: u64,
}

impl Log {
    /// An empty one that has at most this many bytes.
    pub fn new(most: usize) -> Log {
        Log { pieces: VecDeque::new(), size: 0, most, said: 0 }
    }

    /// How much is to be heard at once, so that something older stays beside it.
    pub fn piece_length(&self) -> usize {
        /// As much as a pipe has.
        const MOST: usize = 64 << 10;
        (self.most / 4).min(MOST)
    }

    /// Adds a piece; the oldest make room.
    pub fn push(&mut self, number: u64, stream: OutputStream, bytes: &[u8]) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64);
        let offset = self.said;
        self.said += bytes.len() as u64;
        self.size += bytes.len() + COST;
        self.pieces.push_back(Piece { number, time, stream, offset, bytes: bytes.into() });
        while self.size > self.most
            && let Some(oldest) = self.pieces.pop_front()
        {
            self.size -= oldest.bytes.len() + COST;
        }
    }

    /// The pieces from this number on.
    pub fn pieces_from(&self, number: u64) -> impl Iterator<Item = &Piece> {
        let first = self.pieces.partition_point(|piece| piece.number < number);
        self.pieces.range(first..)
    }

    /// What it costs.
    pub fn size(&self) -> usize {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_and_the_gap_can_be_seen() {
        let mut log = Log::new(4096);
        for number in 0..1000 {
            log.push(number, OutputStream::StdOut, &[b'x'; 100]);
            assert!(log.size() <= 4096);
        }
        let first = log.pieces_from(0).next().unwrap();
        assert_eq!((first.number, first.offset), (1000 - 4096 / 164, first.number * 100));
        assert_eq!(log.pieces_from(999).next().unwrap().offset, 99_900);
        assert_eq!(log.pieces_from(1000).next(), None);
    }

    #[test]
    fn letters_one_by_one_cost_what_they_take() {
        let mut log = Log::new(4096);
        (0..10_000).for_each(|number| log.push(number, OutputStream::StdErr, b"x"));
        assert_eq!(log.pieces.len(), 4096 / (COST + 1));
    }

    #[test]
    fn one_piece_never_takes_the_place_of_all_others() {
        for most in [4 << 10, 1 << 20, 16 << 20] {
            let mut log = Log::new(most);
            let piece = vec![0; log.piece_length()];
            (0..8).for_each(|number| log.push(number, OutputStream::StdOut, &piece));
            assert!(log.pieces.len() >= 3, "{most}");
        }
    }
}

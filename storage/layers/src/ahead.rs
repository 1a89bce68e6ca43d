//! Reads ahead in another thread, so that decompressing and writing go on at once.

use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
};

/// Bytes that are passed on at once.
const PIECE: usize = 256 << 10;
/// How many pieces may wait.
const WAITING: usize = 8;

/// Bytes, or what became of reading them.
type Piece = io::Result<Vec<u8>>;

/// The end that reads the source.
pub struct Source<R> {
    from: R,
    to: SyncSender<Piece>,
    /// Memory that was used before.
    used: Receiver<Vec<u8>>,
}

/// The end that is read.
pub struct Ahead {
    from: Receiver<Piece>,
    back: Sender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

/// Makes both ends.
pub fn new<R: Read>(from: R) -> (Source<R>, Ahead) {
    let (to, receiver) = sync_channel(WAITING);
    let (back, used) = channel();
    (Source { from, to, used }, Ahead { from: receiver, back, piece: Vec::new(), at: 0 })
}

impl<R: Read> Source<R> {
    /// Reads to the end, or until nobody wants more; gives the source back.
    pub fn run(mut self) -> R {
        loop {
            let mut piece = self.used.try_recv().unwrap_or_default();
            piece.resize(PIECE, 0);
            let read = fill(&mut self.from, &mut piece);
            let (is_over, piece) = match read {
                Ok(length) => {
                    piece.truncate(length);
                    (length < PIECE, Ok(piece))
                }
                Err(error) => (true, Err(error)),
            };
            if self.to.send(piece).is_err() || is_over {
                return self.from;
            }
        }
    }
}

/// Fills a buffer as far as there is something. What was read before an error is lost with it: nobody may use it.
pub fn fill(from: &mut (impl Read + ?Sized), piece: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < piece.len() {
        match from.read(&mut piece[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            // The other end has gone when it is at the end.
            let Ok(piece) = self.from.recv() else { return Ok(0) };
            let used = std::mem::replace(&mut self.piece, piece?);
            self.at = 0;
            // The other end may be at the end.
            let _ = self.back.send(used);
        }
        let length = buffer.len().min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

//! Compresses on all processors.
//!
//! Both formats are a sequence of parts that stand for themselves (members of gzip, frames of zstd), and every reader
//! takes any number of them. So pieces of a fixed size are compressed apart and joined in order, and what comes out
//! depends on what goes in alone, not on how many processors there are.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
};

/// How a tar is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As everybody can read it.
    Gzip,
    /// Smaller and quicker.
    Zstd,
}

/// As gzip and tar have it.
const GZIP_LEVEL: u32 = 6;
/// As zstd has it.
const ZSTD_LEVEL: i32 = 3;
/// Large enough that it costs nothing to begin anew with each.
const PIECE: usize = 1 << 20;

/// A compressed piece, or what became of it.
type Part = io::Result<Vec<u8>>;
/// Bytes that somebody is to compress, and whither.
type Job = (Vec<u8>, SyncSender<Part>);

/// Compresses what is written to it, and writes that on.
pub struct Compressor<W: Write> {
    to: W,
    piece: Vec<u8>,
    /// `None` if nothing is compressed.
    work: Option<Work>,
}

/// Threads that compress, and what they are at, in order. The threads end when nobody can give them work.
struct Work {
    jobs: Sender<Job>,
    under_way: VecDeque<Receiver<Part>>,
    most: usize,
    is_first: bool,
}

impl<W: Write> Compressor<W> {
    /// Writes to this. Fails where there cannot be another thread.
    pub fn new(to: W, compression: Compression) -> io::Result<Compressor<W>> {
        let work = match compression {
            Compression::None => None,
            Compression::Gzip => Some(Work::begin(gzip)?),
            Compression::Zstd => Some(Work::begin(zstd)?),
        };
        Ok(Compressor { to, piece: Vec::new(), work })
    }

    /// Writes what is left, and gives back what was written to.
    pub fn finish(mut self) -> io::Result<W> {
        if let Some(work) = &mut self.work {
            // Nothing at all is a part of nothing.
            if !self.piece.is_empty() || work.is_first {
                work.take(std::mem::take(&mut self.piece), &mut self.to)?;
            }
            while let Some(next) = work.under_way.pop_front() {
                self.to.write_all(&compressed(&next)?)?;
            }
        }
        self.to.flush()?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(work) = &mut self.work else { return self.to.write(bytes) };
        if self.piece.capacity() == 0 {
            self.piece.reserve_exact(PIECE);
        }
        let length = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..length]);
        if self.piece.len() == PIECE {
            work.take(std::mem::take(&mut self.piece), &mut self.to)?;
        }
        Ok(length)
    }

    /// Only the end makes a part of what is not a whole piece.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Work {
    fn begin(compress: fn(&[u8]) -> Part) -> io::Result<Work> {
        let (jobs, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        let processors = thread::available_parallelism().map_or(1, |number| number.get());
        for started in 0..processors {
            let receiver = receiver.clone();
            let begun = thread::Builder::new().spawn(move || {
                let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok((piece, reply)) = next() {
                    // Who does not wait any more has failed elsewhere.
                    let _ = reply.send(compress(&piece));
                }
            });
            match begun {
                // What comes out does not depend on how many there are.
                Err(_) if started > 0 => break,
                begun => drop(begun?),
            }
        }
        Ok(Work { jobs, under_way: VecDeque::new(), most: 2 * processors, is_first: true })
    }

    fn take(&mut self, piece: Vec<u8>, to: &mut impl Write) -> io::Result<()> {
        self.is_first = false;
        if self.under_way.len() >= self.most
            && let Some(first) = self.under_way.pop_front()
        {
            to.write_all(&compressed(&first)?)?;
        }
        let (reply, receiver) = sync_channel(1);
        self.jobs.send((piece, reply)).map_err(|_| io::Error::other("nobody compresses"))?;
        self.under_way.push_back(receiver);
        Ok(())
    }
}

fn compressed(receiver: &Receiver<Part>) -> Part {
    receiver.recv().map_err(|_| io::Error::other("nobody compresses"))?
}

fn gzip(piece: &[u8]) -> Part {
    let room = Vec::with_capacity(piece.len() / 2);
    let mut encoder = flate2::write::GzEncoder::new(room, flate2::Compression::new(GZIP_LEVEL));
    encoder.write_all(piece)?;
    encoder.finish()
}

fn zstd(piece: &[u8]) -> Part {
    zstd::encode_all(piece, ZSTD_LEVEL)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_is_compressed_in_parts_is_read_as_one() {
        for length in [0, 1, PIECE - 1, PIECE, 5 * PIECE + 17] {
            let text: Vec<u8> = (0..length).map(|at| (at / 100 % 251) as u8).collect();
            let through = |compression| {
                let mut compressor = Compressor::new(Vec::new(), compression).unwrap();
                for part in text.chunks(70_001) {
                    compressor.write_all(part).unwrap();
                }
                compressor.finish().unwrap()
            };
            assert_eq!(through(Compression::None), text);
            let gzip = through(Compression::Gzip);
            let mut read = Vec::new();
            flate2::read::MultiGzDecoder::new(&gzip[..]).read_to_end(&mut read).unwrap();
            assert!(read == text && gzip == through(Compression::Gzip), "{length}");
            assert!(zstd::decode_all(&through(Compression::Zstd)[..]).unwrap() == text, "{length}");
        }
    }

    #[test]
    fn a_place_that_is_full_ends_it_with_its_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut compressor = Compressor::new(Full, Compression::Zstd).unwrap();
        let written = (0..200).try_for_each(|_| compressor.write_all(&[7; PIECE]));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}

//! The content of a member, with its holes.

use std::io::{self, Read};

use super::{Member, Reader, damaged};
use crate::entry::Content;

/// The content of a member.
pub struct Body<'a, R> {
    reader: &'a mut Reader<R>,
    pieces: &'a [(u64, u64)],
    is_sparse: bool,
    /// Where in the file.
    at: u64,
    size: u64,
    stored: u64,
    left: u64,
}

impl<'a, R: Read> Body<'a, R> {
    pub(super) fn of(reader: &'a mut Reader<R>, member: &'a Member) -> Body<'a, R> {
        Body {
            reader,
            pieces: member.pieces.as_deref().unwrap_or_default(),
            is_sparse: member.pieces.is_some(),
            at: 0,
            size: member.size,
            stored: member.stored,
            left: member.stored,
        }
    }

    /// Reads what is left, and what follows up to the next header.
    pub fn finish(self) -> io::Result<()> {
        let mut rest = (&mut self.reader.from).take(self.left);
        if io::copy(&mut rest, &mut io::sink())? != self.left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.reader.skip_padding(self.stored)
    }

    /// How many bytes from here are in the archive, and how many a hole.
    fn here(&mut self) -> io::Result<(u64, u64)> {
        if !self.is_sparse {
            return Ok((self.size - self.at, 0));
        }
        while let Some((start, length)) = self.pieces.first() {
            let end = start.checked_add(*length).filter(|end| *end <= self.size);
            let end = end.ok_or_else(|| damaged("a piece beyond the end of its file"))?;
            if end <= self.at {
                self.pieces = &self.pieces[1..];
            } else if *start > self.at {
                return Ok((0, start - self.at));
            } else {
                return Ok((end - self.at, 0));
            }
        }
        Ok((0, self.size - self.at))
    }
}

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (stored, hole) = self.here()?;
        if stored == 0 {
            // Who does not ask for holes gets zeros.
            let length = buffer.len().min(usize::try_from(hole).unwrap_or(usize::MAX));
            buffer[..length].fill(0);
            self.at += length as u64;
            return Ok(length);
        }
        let room = buffer.len().min(usize::try_from(stored).unwrap_or(usize::MAX));
        let length = self.reader.from.read(&mut buffer[..room])?;
        if length == 0 && room > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += length as u64;
        self.left =
            self.left.checked_sub(length as u64).ok_or_else(|| damaged("pieces of more than there is"))?;
        Ok(length)
    }
}

impl<R: Read> Content for Body<'_, R> {
    fn hole(&mut self) -> io::Result<u64> {
        let (_, hole) = self.here()?;
        self.at += hole;
        Ok(hole)
    }
}

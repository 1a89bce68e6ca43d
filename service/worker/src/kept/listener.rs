//! Somebody who follows what is said: a pipe that is filled as far as it takes something.
//!
//! A listener that is slow delays nobody. It has a place among the pieces; what is dropped before it got there it never gets,
//! and it can see that by the offsets.

use std::os::fd::OwnedFd;

use hcs_ipc::compute::OutputPiece;
use rustix::{
    fs::OFlags,
    io::Errno,
    pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size},
};

use super::{Speaker, log::Piece};

/// The writing end of a listener's pipe, and how far it is.
pub struct Listener {
    pipe: OwnedFd,
    /// Whom it listens to; nobody in particular is everybody.
    pub to: Option<u32>,
    /// The number of the piece that comes next.
    pub next: u64,
    /// A piece that is under way.
    unsent: Vec<u8>,
    sent: usize,
    /// It takes nothing more for now.
    pub is_full: bool,
}

/// Nobody reads any more.
#[derive(Debug)]
pub struct Gone;

impl Listener {
    /// A listener from the first piece on, and the end for its reader.
    pub fn new(to: Option<u32>) -> Result<(Listener, OwnedFd), Errno> {
        let (read, pipe) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        Ok((Listener { pipe, to, next: 0, unsent: Vec::new(), sent: 0, is_full: false }, read))
    }

    /// To be polled: for room if it is full, and else for the end of its reader.
    pub fn pipe(&self) -> &OwnedFd {
        &self.pipe
    }

    /// Whether all of the pieces that it was given are with its reader.
    pub fn has_sent_all(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Takes the next piece.
    pub fn take(&mut self, speaker: Speaker, piece: &Piece) {
        self.next = piece.number + 1;
        write(&mut self.unsent, speaker, piece);
    }

    /// Sends what was taken, as far as there is room.
    pub fn send(&mut self) -> Result<(), Gone> {
        self.is_full = false;
        while self.sent < self.unsent.len() {
            match rustix::io::write(&self.pipe, &self.unsent[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.is_full = true;
                    return Ok(());
                }
                Err(_) => return Err(Gone),
            }
        }
        self.unsent.clear();
        self.sent = 0;
        Ok(())
    }

    /// Says the last: as many of these pieces as there can be room for, the newest, since nobody can be waited for any more. The
    /// kernel has them then, for as long as the reader wants.
    pub fn finish(mut self, pieces: &[(Speaker, &Piece)]) {
        let size = |(_, piece): &(Speaker, &Piece)| piece.bytes.len() + LONGEST_LINE;
        let Ok(mut room) = self.make_room(pieces.iter().map(size).sum()) else { return };
        let mut first = pieces.len();
        while let Some(piece) = pieces[..first].last()
            && let Some(left) = room.checked_sub(size(piece))
        {
            first -= 1;
            room = left;
        }
        pieces[first..].iter().for_each(|(speaker, piece)| self.take(*speaker, piece));
        // Who has hung up wants no more.
        let _ = self.send();
    }

    /// Makes room in the pipe for so much more than what is under way already; how much there is. Without the right to more a
    /// pipe may have 1 MiB, unless the host says otherwise.
    fn make_room(&self, wanted: usize) -> Result<usize, Errno> {
        let had = fcntl_getpipe_size(&self.pipe)?;
        // What is in it may lie in pages that are not full.
        let taken = had + (self.unsent.len() - self.sent);
        let mut size = (taken + wanted).next_power_of_two().min(LARGEST);
        while size > had && fcntl_setpipe_size(&self.pipe, size).is_err() {
            size /= 2;
        }
        Ok(fcntl_getpipe_size(&self.pipe)?.saturating_sub(taken))
    }
}

/// A pipe has no more, also where more would be allowed: it is memory of the kernel, and stays as long as somebody holds it.
const LARGEST: usize = 1 << 20;

/// The line before a piece is no longer.
const LONGEST_LINE: usize = 160;

/// A piece in the form in which it is read: a line that tells of it, and its bytes.
pub fn write(to: &mut Vec<u8>, speaker: Speaker, piece: &Piece) {
    let told = OutputPiece {
        process: speaker,
        stream: piece.stream,
        time: piece.time,
        offset: piece.offset,
        length: piece.bytes.len() as u64,
    };
    // Plain data is always written.
    let _ = serde_json::to_writer(&mut *to, &told);
    to.push(b'\n');
    to.extend_from_slice(&piece.bytes);
}

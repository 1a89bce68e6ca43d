//! What processes of a system have said and nobody else reads (`Linux.Log` of ProcessParameters), and the consoles of a
//! virtual machine: kept in this process, so that it outlives hcsd and goes with the system, whatever ends either.
//!
//! ```text
//!   pipes of processes ── one bounded piece a turn ──▶ log of each ──▶ a file with all that is kept
//!   consoles ─────────────────────────────────────────▶            ──▶ listeners, as fast as each reads
//! ```
//!
//! [`crate::worker`] polls what [`Kept::interest`] tells and says what is ready. Nothing here waits, and what is kept has a
//! bound: who says more than that pushes out its own oldest words, and of processes that have ended the first go first.

mod listener;
mod log;

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io::{self, BufWriter, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use hcs_core::{Cause, Error};
use hcs_ipc::compute::OutputStream;
use rustix::{
    event::PollFlags,
    fs::{MemfdFlags, OFlags},
    io::Errno,
};

use self::{
    listener::Listener,
    log::{Log, Piece},
};
use crate::output;

/// Who says something: a process by its id, or the consoles of a machine.
pub type Speaker = Option<u32>;

/// How much is kept of the consoles of a machine.
const CONSOLES: usize = 1 << 20;
/// How much is kept of all processes that have ended.
const ENDED: usize = 64 << 20;
/// How many processes that have ended are kept something of.
const MOST_ENDED: usize = 256;
/// How many may listen at a time.
const MOST_LISTENERS: usize = 64;
/// How much is taken or given in one turn of something that has no end.
const TURN: usize = 1 << 20;
/// The same in pieces.
const PIECES: u64 = 1024;

/// Everything that is kept of a system.
#[derive(Default)]
pub struct Kept {
    logs: BTreeMap<Speaker, Log>,
    /// Processes whose pipes have come to their end, the first one first.
    ended: VecDeque<u32>,
    pipes: BTreeMap<u64, Pipe>,
    listeners: BTreeMap<u64, Listener>,
    /// The number of the next piece.
    next_piece: u64,
    /// The number of the next pipe or listener.
    next: u64,
    buffer: Vec<u8>,
}

/// The end of an output that is read here.
struct Pipe {
    of: u32,
    stream: OutputStream,
    end: OwnedFd,
}

/// What is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Something is said.
    Pipe(u64),
    /// Somebody listens.
    Listener(u64),
}

impl Kept {
    /// Keeps what this process says: at most so many bytes, heard at these pipes. Another one of the same number has ended.
    pub fn keep(&mut self, process_id: u32, most: u64, pipes: [Option<OwnedFd>; 2]) -> Result<(), Error> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        self.ended.retain(|ended| *ended != process_id);
        self.pipes.retain(|_, pipe| pipe.of != process_id);
        self.logs.insert(Some(process_id), Log::new(most));
        for (end, stream) in pipes.into_iter().zip([OutputStream::StdOut, OutputStream::StdErr]) {
            let Some(end) = end else { continue };
            rustix::fs::fcntl_setfl(&end, OFlags::NONBLOCK)
                .map_err(|errno| Error::from_errno(errno.raw_os_error(), "preparing a pipe"))?;
            let number = self.number();
            self.pipes.insert(number, Pipe { of: process_id, stream, end });
        }
        Ok(())
    }

    /// Keeps what the consoles of a machine say.
    pub fn keep_consoles(&mut self) {
        self.logs.entry(None).or_insert_with(|| Log::new(CONSOLES));
    }

    /// The consoles have said something.
    pub fn consoles_said(&mut self, bytes: &[u8]) {
        let Some(log) = self.logs.get_mut(&None) else { return };
        for piece in bytes.chunks(log.piece_length()) {
            log.push(self.next_piece, OutputStream::Console, piece);
            self.next_piece += 1;
        }
        self.feed_all();
    }

    /// What is to be polled.
    pub fn interest(&self) -> impl Iterator<Item = (Which, BorrowedFd<'_>, PollFlags)> {
        let pipes =
            self.pipes.iter().map(|(number, pipe)| (Which::Pipe(*number), pipe.end.as_fd(), PollFlags::IN));
        let listeners = self.listeners.iter().map(|(number, listener)| {
            // No events means that only the end of its reader is told.
            let wanted = if listener.is_full { PollFlags::OUT } else { PollFlags::empty() };
            (Which::Listener(*number), listener.pipe().as_fd(), wanted)
        });
        pipes.chain(listeners)
    }

    /// Something can be done there.
    pub fn ready(&mut self, which: Which) {
        match which {
            Which::Pipe(number) => {
                self.hear(number);
                self.feed_all();
            }
            // One that is not full is ready because nobody reads any more.
            Which::Listener(number) => match self.listeners.get(&number) {
                Some(listener) if listener.is_full => self.feed(number),
                _ => drop(self.listeners.remove(&number)),
            },
        }
    }

    /// What is kept, of one process or of everybody: a file with what there is now, or a pipe that goes on with what comes.
    pub fn hand_out(&mut self, of: Option<u32>, follow: bool) -> Result<OwnedFd, Error> {
        // What was said before this was asked is part of the answer.
        for number in self.pipes.keys().copied().collect::<Vec<_>>() {
            self.catch_up(number);
        }
        self.feed_all();
        match of {
            Some(process_id) if !self.logs.contains_key(&of) => {
                let detail = format!("the output of process {process_id} is not kept");
                return Err(Error::new(Cause::NotFound, detail).hint(HINT));
            }
            None if self.logs.is_empty() => {
                let detail = "the system has no process whose output is kept";
                return Err(Error::new(Cause::NotFound, detail).hint(HINT));
            }
            _ => {}
        }
        if !follow {
            return self.file(of);
        }
        if self.listeners.len() >= MOST_LISTENERS {
            let detail = format!("{MOST_LISTENERS} listen already, which is the most");
            return Err(Error::new(Cause::InUse, detail));
        }
        let (listener, end) =
            Listener::new(of).map_err(|errno| Error::from_errno(errno.raw_os_error(), "making a pipe"))?;
        let number = self.number();
        self.listeners.insert(number, listener);
        self.feed(number);
        Ok(end)
    }

    /// The system has ended: the last words are taken, and everybody gets what is left for them.
    pub fn finish(&mut self) {
        for number in self.pipes.keys().copied().collect::<Vec<_>>() {
            self.catch_up(number);
        }
        for (_, listener) in std::mem::take(&mut self.listeners) {
            let (to, next) = (listener.to, listener.next);
            listener.finish(&self.pieces(to, next));
        }
        *self = Kept::default();
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Takes what is in a pipe, and not what comes meanwhile without end.
    fn catch_up(&mut self, number: u64) {
        let mut left = TURN;
        while left > 0 {
            match self.hear(number) {
                0 => return,
                length => left = left.saturating_sub(length),
            }
        }
    }

    /// Takes one piece; how much it was. A pipe that nobody can speak into any more goes.
    fn hear(&mut self, number: u64) -> usize {
        let Some(pipe) = self.pipes.get(&number) else { return 0 };
        let Some(log) = self.logs.get_mut(&Some(pipe.of)) else { return 0 };
        self.buffer.resize(log.piece_length(), 0);
        match rustix::io::read(&pipe.end, &mut self.buffer) {
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Ok(length) if length > 0 => {
                log.push(self.next_piece, pipe.stream, &self.buffer[..length]);
                self.next_piece += 1;
                length
            }
            Ok(_) | Err(_) => {
                let of = pipe.of;
                self.pipes.remove(&number);
                if !self.speaks(of) {
                    self.ended.push_back(of);
                    self.forget_oldest();
                }
                0
            }
        }
    }

    fn speaks(&self, process_id: u32) -> bool {
        self.pipes.values().any(|pipe| pipe.of == process_id)
    }

    fn forget_oldest(&mut self) {
        let size_of = |logs: &BTreeMap<Speaker, Log>, id: &u32| logs.get(&Some(*id)).map_or(0, Log::size);
        let mut size: usize = self.ended.iter().map(|ended| size_of(&self.logs, ended)).sum();
        while size > ENDED || self.ended.len() > MOST_ENDED {
            let Some(oldest) = self.ended.pop_front() else { return };
            size -= size_of(&self.logs, &oldest);
            self.logs.remove(&Some(oldest));
        }
    }

    fn feed_all(&mut self) {
        let waiting = self.listeners.iter().filter(|(_, listener)| !listener.is_full);
        for number in waiting.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.feed(number);
        }
    }

    /// Gives a listener what it takes now.
    fn feed(&mut self, number: u64) {
        let Some(mut listener) = self.listeners.remove(&number) else { return };
        let until = listener.next + PIECES;
        loop {
            if listener.send().is_err() {
                return;
            }
            if listener.is_full {
                break;
            }
            if listener.next >= until {
                // The others get their turn; there is room, so this goes on at once.
                listener.is_full = true;
                break;
            }
            if !self.next_to(&mut listener) {
                let is_over = listener.to.is_some_and(|process_id| !self.speaks(process_id));
                if is_over {
                    return;
                }
                break;
            }
        }
        self.listeners.insert(number, listener);
    }

    /// Gives a listener its next piece, if it has none under way; false if there is nothing for it.
    fn next_to(&self, listener: &mut Listener) -> bool {
        if !listener.has_sent_all() {
            return true;
        }
        let heard = self.heard_by(listener.to);
        let next = heard.filter_map(|(speaker, log)| Some((speaker, log.pieces_from(listener.next).next()?)));
        let Some((speaker, piece)) = next.min_by_key(|(_, piece)| piece.number) else { return false };
        listener.take(speaker, piece);
        true
    }

    /// A file with all that is kept, to be read once from its beginning.
    fn file(&self, of: Option<u32>) -> Result<OwnedFd, Error> {
        let write = || -> io::Result<OwnedFd> {
            let file = rustix::fs::memfd_create(c"hcs-output", MemfdFlags::CLOEXEC)?;
            let mut writer = BufWriter::new(File::from(file));
            let mut text = Vec::new();
            for (speaker, piece) in self.pieces(of, 0) {
                listener::write(&mut text, speaker, piece);
                writer.write_all(&text)?;
                text.clear();
            }
            Ok(writer.into_inner().map_err(io::IntoInnerError::into_error)?.into())
        };
        let file = write().map_err(|error| Error::from_io(&error, "handing out what is kept"))?;
        output::open(&file, OFlags::RDONLY)
    }

    /// What somebody hears who listens to this process, or to everybody, from this piece on.
    fn pieces(&self, to: Option<u32>, from: u64) -> Vec<(Speaker, &Piece)> {
        let heard = self.heard_by(to);
        let pieces =
            heard.flat_map(|(speaker, log)| log.pieces_from(from).map(move |piece| (speaker, piece)));
        let mut pieces: Vec<_> = pieces.collect();
        pieces.sort_unstable_by_key(|(_, piece)| piece.number);
        pieces
    }

    /// Whom somebody hears who listens to this process, or to everybody.
    fn heard_by(&self, to: Option<u32>) -> impl Iterator<Item = (Speaker, &Log)> {
        let heard = self.logs.iter().filter(move |(speaker, _)| to.is_none() || to == **speaker);
        heard.map(|(speaker, log)| (*speaker, log))
    }
}

const HINT: &str = "What a process says is kept if it was created with Linux.Log.";

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn pipe() -> (OwnedFd, File) {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        (read, write.into())
    }

    /// What was said, without the lines that tell of it; and how much is missing in between.
    fn read(end: OwnedFd) -> (Vec<u8>, u64) {
        let mut all = Vec::new();
        File::from(end).read_to_end(&mut all).unwrap();
        let (mut said, mut missing, mut expected, mut rest) = (Vec::new(), 0, BTreeMap::new(), &all[..]);
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let piece: hcs_ipc::compute::OutputPiece = serde_json::from_slice(&rest[..at]).unwrap();
            let (bytes, others) = rest[at + 1..].split_at(piece.length as usize);
            said.extend_from_slice(bytes);
            let expected = expected.entry(piece.process).or_default();
            missing += piece.offset - *expected;
            *expected = piece.offset + piece.length;
            rest = others;
        }
        assert!(rest.is_empty());
        (said, missing)
    }

    fn turn(kept: &mut Kept) {
        let ready: Vec<Which> = {
            let (which, mut fds): (Vec<_>, Vec<_>) = kept
                .interest()
                .map(|(which, fd, wanted)| (which, rustix::event::PollFd::from_borrowed_fd(fd, wanted)))
                .unzip();
            let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            rustix::event::poll(&mut fds, Some(&at_once)).unwrap();
            let ready = fds.iter().map(|fd| !fd.revents().is_empty());
            which
                .into_iter()
                .zip(ready.collect::<Vec<_>>())
                .filter_map(|(which, is)| is.then_some(which))
                .collect()
        };
        ready.into_iter().for_each(|which| kept.ready(which));
    }

    #[test]
    fn a_listener_that_reads_nothing_delays_nobody_and_sees_what_it_has_missed() {
        let mut kept = Kept::default();
        let (end, mut process) = pipe();
        kept.keep(7, 1 << 20, [Some(end), None]).unwrap();
        let slow = kept.hand_out(None, true).unwrap();
        for _ in 0..1000 {
            process.write_all(&[b'x'; 16 << 10]).unwrap();
            turn(&mut kept);
        }
        process.write_all(b"last words").unwrap();
        assert!(kept.logs[&Some(7)].size() <= 1 << 20);
        let (now, missing) = read(kept.hand_out(Some(7), false).unwrap());
        assert_eq!(now.len() as u64 + missing, 1000 * (16 << 10) + 10);
        kept.finish();
        let (said, missing) = read(slow);
        assert_eq!(said.len() as u64 + missing, 1000 * (16 << 10) + 10);
        assert!(said.ends_with(b"last words"));
        // No host allows less than most of it.
        assert!(said.len() > 900 << 10 && missing > 0, "{} {missing}", said.len());
    }

    #[test]
    fn who_follows_one_process_is_done_with_its_output_and_others_go_on() {
        let mut kept = Kept::default();
        let (one_end, mut one) = pipe();
        let (two_end, mut two) = pipe();
        kept.keep(1, 1 << 20, [Some(one_end), None]).unwrap();
        kept.keep(2, 1 << 20, [None, Some(two_end)]).unwrap();
        let of_one = kept.hand_out(Some(1), true).unwrap();
        let of_all = kept.hand_out(None, true).unwrap();
        one.write_all(b"a").unwrap();
        turn(&mut kept);
        two.write_all(b"b").unwrap();
        drop(one);
        turn(&mut kept);
        assert_eq!(read(of_one).0, b"a");
        assert_eq!(kept.listeners.len(), 1);
        drop(of_all);
        turn(&mut kept);
        assert!(kept.listeners.is_empty(), "who has hung up is forgotten");
        assert_eq!(kept.hand_out(Some(3), false).unwrap_err().cause, Cause::NotFound);
        assert_eq!(read(kept.hand_out(None, false).unwrap()).0, b"ab");
    }

    #[test]
    fn of_those_that_have_ended_the_first_are_forgotten_first() {
        let mut kept = Kept::default();
        for process_id in 0..2 * MOST_ENDED as u32 {
            let (end, mut process) = pipe();
            kept.keep(process_id, 1 << 20, [Some(end), None]).unwrap();
            process.write_all(b"words").unwrap();
            drop(process);
            turn(&mut kept);
            turn(&mut kept);
        }
        assert_eq!(kept.logs.len(), MOST_ENDED);
        assert!(
            kept.logs.contains_key(&Some(2 * MOST_ENDED as u32 - 1)) && !kept.logs.contains_key(&Some(0))
        );
    }
}

//! The last of what somebody says without end: kept for the moment when it is asked for, and read before the pipe is full,
//! because who cannot write stands still.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{fs::OFlags, io::Errno, pipe::PipeFlags};

/// How much is kept.
const KEPT: usize = 16 << 10;
/// How much may wait to be read.
const PIPE: usize = 1 << 20;
/// After it was read nobody looks for this long: who writes letter by letter would wake us at each.
const PAUSE: Duration = Duration::from_millis(50);

/// What was said last.
pub struct Tail {
    pipe: File,
    kept: Vec<u8>,
    /// What somebody else is to be given too and has not asked for yet; `None` if there is nobody.
    fresh: Option<Vec<u8>>,
    quiet_until: Option<Instant>,
    ended: bool,
}

/// What QEMU says beside its answers.
pub struct Ears {
    /// To people.
    pub errors: Tail,
    /// As the consoles of its guest.
    pub consoles: Tail,
}

impl Ears {
    /// Readable when [`Ears::take`] has something to take.
    pub fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.both().into_iter().filter_map(Tail::readable)
    }

    /// When one is looked at again that is not looked at now.
    pub fn pause_ends(&self) -> Option<Instant> {
        self.both().into_iter().filter_map(Tail::pause_ends).min()
    }

    /// Takes what is there.
    pub fn take(&mut self) {
        let both = [&mut self.errors, &mut self.consoles];
        both.into_iter().filter(|tail| tail.readable().is_some()).for_each(Tail::take);
    }

    fn both(&self) -> [&Tail; 2] {
        [&self.errors, &self.consoles]
    }
}

impl Tail {
    /// A pipe to speak into, and the end of it.
    pub fn new() -> Result<(Tail, OwnedFd), Errno> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
        // Without the right to more it is as large as others.
        let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE);
        let tail =
            Tail { pipe: File::from(read), kept: Vec::new(), fresh: None, quiet_until: None, ended: false };
        Ok((tail, write))
    }

    /// The same for what somebody else keeps more of: see [`Tail::take_fresh`].
    pub fn heard() -> Result<(Tail, OwnedFd), Errno> {
        Tail::new().map(|(tail, write)| (Tail { fresh: Some(Vec::new()), ..tail }, write))
    }

    /// What was said since this was asked last, or the end of it.
    pub fn take_fresh(&mut self) -> Vec<u8> {
        self.take();
        self.fresh.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Readable when something is to be taken; `None` as long as it is not looked at.
    pub fn readable(&self) -> Option<BorrowedFd<'_>> {
        let is_looked_at = !self.ended && self.quiet_until.is_none_or(|until| until <= Instant::now());
        is_looked_at.then(|| self.pipe.as_fd())
    }

    /// When it is looked at again.
    pub fn pause_ends(&self) -> Option<Instant> {
        self.quiet_until.filter(|until| *until > Instant::now())
    }

    /// Takes what is there, and not what comes meanwhile without end.
    pub fn take(&mut self) {
        let mut buffer = [0; 8 << 10];
        for _ in 0..PIPE / buffer.len() {
            match self.pipe.read(&mut buffer) {
                Ok(0) => {
                    self.ended = true;
                    return;
                }
                Ok(length) => {
                    keep(&mut self.kept, &buffer[..length], KEPT);
                    if let Some(fresh) = &mut self.fresh {
                        keep(fresh, &buffer[..length], PIPE);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.quiet_until = Some(Instant::now() + PAUSE);
                    return;
                }
            }
        }
    }

    /// What was said last.
    pub fn text(&mut self) -> String {
        self.take();
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

/// Adds to a text of which only the end is kept.
fn keep(text: &mut Vec<u8>, said: &[u8], most: usize) {
    text.extend_from_slice(said);
    text.drain(..text.len().saturating_sub(most));
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_words_are_kept_and_whoever_speaks_is_never_stopped() {
        let (mut tail, write) = Tail::new().unwrap();
        let mut speaker = File::from(write);
        for number in 0..100_000 {
            writeln!(speaker, "line {number}").unwrap();
            if number % 1000 == 0 {
                tail.take();
            }
        }
        let before = Instant::now();
        let text = tail.text();
        assert!(text.ends_with("line 99999\n") && text.len() <= KEPT, "{}", text.len());
        assert!(tail.quiet_until.is_some_and(|until| until >= before + PAUSE));
        // However long this takes.
        tail.quiet_until = Some(before + Duration::from_secs(3600));
        assert!(tail.readable().is_none() && tail.pause_ends().is_some());
        assert!(tail.take_fresh().is_empty(), "there is nobody else");
        drop(speaker);
        tail.take();
        assert!(tail.ended && tail.pause_ends().is_some());
    }

    #[test]
    fn who_keeps_more_gets_each_word_once() {
        let (mut tail, write) = Tail::heard().unwrap();
        let mut speaker = File::from(write);
        let mut heard = Vec::new();
        for number in 0..10_000 {
            writeln!(speaker, "line {number}").unwrap();
            if number % 1000 == 0 {
                heard.extend(tail.take_fresh());
            }
        }
        heard.extend(tail.take_fresh());
        let expected: String = (0..10_000).map(|number| format!("line {number}\n")).collect();
        assert!(heard == expected.as_bytes());
    }
}

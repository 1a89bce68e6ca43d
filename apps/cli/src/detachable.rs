//! A terminal and something at its other end: keys go there, what is said there is shown, until either ends or Ctrl-] is typed.
//!
//! One loop, in which nothing waits for the other end: who does not listen there must not keep anybody from leaving.

use std::{
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::OFlags,
    io::Errno,
    termios::isatty,
};

/// Ctrl-], as in telnet and virsh.
const ESCAPE: u8 = 0x1d;

/// As much as may wait for somebody who does not listen.
const MOST: usize = 64 << 10;

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// Ctrl-] was typed.
    Detached,
    /// The other end is gone.
    Closed,
    /// This command was asked to end by a signal.
    Signal(u8),
}

/// Serves until it ends. `stop` is an event that tells the number of a signal. On a terminal Ctrl-] detaches; what comes from
/// elsewhere is passed on as it is.
pub fn serve(to: &OwnedFd, from: &OwnedFd, stop: &OwnedFd, on_terminal: bool) -> io::Result<Ended> {
    let (stdin, mut stdout) = (io::stdin(), io::stdout());
    let at_once = most_at_once(to)?;
    let mut typed: Vec<u8> = Vec::new();
    let mut has_ended = false;
    let mut buffer = [0; 16 << 10];
    loop {
        // A terminal is read even if nobody takes what is typed, for the key that detaches.
        let listens = !has_ended && (on_terminal || typed.len() < MOST);
        let stdin = stdin.as_fd();
        let [is_told, is_said, has_room, is_typed] = ready([
            Some(PollFd::new(stop, PollFlags::IN)),
            Some(PollFd::new(from, PollFlags::IN)),
            (!typed.is_empty()).then(|| PollFd::new(to, PollFlags::OUT)),
            listens.then(|| PollFd::from_borrowed_fd(stdin, PollFlags::IN)),
        ])?;
        if is_told {
            let mut signal = [0; 8];
            rustix::io::read(stop, &mut signal)?;
            return Ok(Ended::Signal(u64::from_ne_bytes(signal) as u8));
        }
        if is_said {
            match rustix::io::read(from, &mut buffer) {
                Ok(length) if length > 0 => {
                    stdout.write_all(&buffer[..length])?;
                    stdout.flush()?;
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                // A console whose last process has gone reads as an error.
                Ok(_) | Err(_) => return Ok(Ended::Closed),
            }
        }
        if has_room {
            match rustix::io::write(to, &typed[..typed.len().min(at_once)]) {
                Ok(length) => drop(typed.drain(..length)),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => return Ok(Ended::Closed),
            }
        }
        if is_typed {
            match rustix::io::read(stdin, &mut buffer) {
                Ok(length) if length > 0 => {
                    let keys = &buffer[..length];
                    if on_terminal && keys.contains(&ESCAPE) {
                        return Ok(Ended::Detached);
                    }
                    // What is typed to somebody who has not listened for long is lost.
                    if typed.len() < MOST {
                        typed.extend_from_slice(keys);
                    }
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Ok(_) if !on_terminal => has_ended = true,
                // The terminal is gone.
                Ok(_) | Err(_) => return Ok(Ended::Detached),
            }
        }
    }
}

/// How much can be written when there is room for something, without waiting for more. A console is shared with its worker, and
/// so is the way in which its descriptor waits; there it is one letter.
fn most_at_once(to: &OwnedFd) -> io::Result<usize> {
    if isatty(to) {
        return Ok(1);
    }
    let flags = rustix::fs::fcntl_getfl(to)?;
    rustix::fs::fcntl_setfl(to, flags | OFlags::NONBLOCK)?;
    Ok(MOST)
}

/// Waits until something can be done; which of them.
fn ready<const N: usize>(wanted: [Option<PollFd<'_>>; N]) -> io::Result<[bool; N]> {
    let is_wanted = wanted.each_ref().map(Option::is_some);
    let mut fds: Vec<PollFd<'_>> = wanted.into_iter().flatten().collect();
    match poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut found = fds.iter().map(|fd| !fd.revents().is_empty());
    Ok(is_wanted.map(|is_wanted| is_wanted && found.next().unwrap_or(false)))
}

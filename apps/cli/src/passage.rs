//! From an output of a process to one of ours, a piece at a time and without waiting, so that a loop can have several of them:
//! who does not read our output must not keep signals from the process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
    io::Errno,
    termios::isatty,
};

/// What is read at a time.
const MOST: usize = 16 << 10;

/// An output of a process, and where it goes.
pub struct Passage<'a> {
    from: OwnedFd,
    to: BorrowedFd<'a>,
    /// What can be written when there is room for something, without waiting for more.
    at_once: usize,
    waits_for_room: bool,
}

impl<'a> Passage<'a> {
    /// A way from one to the other.
    pub fn new(from: OwnedFd, to: BorrowedFd<'a>) -> Passage<'a> {
        // Ours are shared with others, so how they wait is not ours to change.
        let is_file =
            fstat(to).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        let at_once = match () {
            () if is_file => MOST,
            () if isatty(to) => 256,
            // A pipe with room has room for a page.
            () => 4096,
        };
        Passage { from, to, at_once, waits_for_room: false }
    }

    /// Whether something has come that our side does not take.
    pub fn waits_for_room(&self) -> bool {
        self.waits_for_room
    }

    /// What has to happen before [`Passage::pass_on`].
    pub fn awaited(&self) -> PollFd<'_> {
        if self.waits_for_room {
            PollFd::from_borrowed_fd(self.to, PollFlags::OUT)
        } else {
            PollFd::new(&self.from, PollFlags::IN)
        }
    }

    /// Passes a piece on. False if nothing is to be expected any more, or nobody reads it.
    pub fn pass_on(&mut self) -> bool {
        self.waits_for_room = !has_room(self.to);
        if self.waits_for_room {
            return true;
        }
        let mut buffer = [0; MOST];
        match rustix::io::read(&self.from, &mut buffer[..self.at_once]) {
            Err(Errno::INTR | Errno::AGAIN) => true,
            // A console whose last process has gone reads as an error.
            Ok(0) | Err(_) => false,
            Ok(length) => write_all(self.to, &buffer[..length]),
        }
    }
}

/// What has an error has room: writing tells it.
fn has_room(to: BorrowedFd<'_>) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::from_borrowed_fd(to.as_fd(), PollFlags::OUT)], Some(&at_once)) != Ok(0)
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            // Somebody has made it one that does not wait.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None);
            }
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::pipe;

    #[test]
    fn who_does_not_read_does_not_hold_up() {
        let ((from, source), (_reader, to)) = (pipe().unwrap(), pipe().unwrap());
        let mut passage = Passage::new(from, to.as_fd());
        let mut passed = 0;
        while !passage.waits_for_room() {
            rustix::io::write(&source, &[7; 4096]).unwrap();
            assert!(passage.pass_on());
            passed += 1;
        }
        assert!(passed > 1, "it is full after {passed} pieces");
    }

    #[test]
    fn it_ends_with_either_end() {
        let ((from, source), (reader, to)) = (pipe().unwrap(), pipe().unwrap());
        let mut passage = Passage::new(from, to.as_fd());
        rustix::io::write(&source, b"last words").unwrap();
        drop(source);
        assert!(passage.pass_on());
        assert!(!passage.pass_on());
        let mut said = [0; 32];
        assert_eq!(rustix::io::read(&reader, &mut said), Ok(10));

        let (from, source) = pipe().unwrap();
        let mut passage = Passage::new(from, to.as_fd());
        drop(reader);
        rustix::io::write(&source, b"to nobody").unwrap();
        assert!(!passage.pass_on());
    }
}

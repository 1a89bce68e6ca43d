//! The console of a process: a pseudo terminal of the container's own devpts.
//!
//! A terminal of the host would have no name inside: `tty` would fail, a process could not open its terminal
//! again, and the host's /dev/pts would show it to everybody. So the worker opens `ptmx` in the container, from
//! outside: the master never exists in a process of the container, and the child needs no calls of its own but
//! to take the terminal. The slave is got from the master, so no path is trusted for it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hcs_core::{Cause, Error, ready};
use rustix::{
    event::PollFlags,
    fs::{CWD, Mode, OFlags, ResolveFlags},
    io::Errno,
    pty::OpenptFlags,
    termios::{LocalModes, SpecialCodeIndex, Winsize},
    thread::Uid,
};
use serde::{Deserialize, Serialize};

use crate::sys;

/// How large a console is, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Its height.
    pub rows: u16,
    /// Its width.
    pub columns: u16,
}

impl Default for Size {
    /// The size of every terminal that says nothing else.
    fn default() -> Size {
        Size { rows: 24, columns: 80 }
    }
}

/// The master end.
pub struct Console(OwnedFd);

/// Opens a console in the container of this init; gives the process's end too, which belongs to its user.
pub(crate) fn open(init: BorrowedFd<'_>, size: Size, user: u32) -> Result<(Console, OwnedFd), Error> {
    let make = || -> Result<(Console, OwnedFd), Errno> {
        let root = format!("/proc/{}/root", sys::process_behind(init)?.ok_or(Errno::SRCH)?);
        let root =
            rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let master = rustix::fs::openat2(root, c"dev/pts/ptmx", flags, Mode::empty(), inside)?;
        rustix::pty::unlockpt(&master)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        rustix::fs::fchown(&slave, Some(Uid::from_raw(user)), None)?;
        set_size(&master, size)?;
        Ok((Console(master), slave))
    };
    make().map_err(|errno| Error::from_errno(errno.raw_os_error(), "opening a console"))
}

fn set_size(master: impl AsFd, size: Size) -> Result<(), Errno> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(master, size)
}

impl Console {
    /// A descriptor for the client, for both directions.
    pub fn client_end(&self) -> Result<OwnedFd, Error> {
        self.0.try_clone().map_err(|error| Error::from_io(&error, "handing out a console"))
    }

    /// Changes the size; the processes in the foreground hear of it.
    pub fn resize(&self, size: Size) -> Result<(), Error> {
        set_size(&self.0, size).map_err(|errno| Error::from_errno(errno.raw_os_error(), "resizing a console"))
    }

    /// Types the end of the input, as a person would. A program that reads key by key has no such end.
    pub fn end_input(&self) -> Result<(), Error> {
        let end = || -> Result<(), Errno> {
            let modes = rustix::termios::tcgetattr(&self.0)?;
            if !modes.local_modes.contains(LocalModes::ICANON) {
                return Ok(());
            }
            // Writing to a console whose input nobody reads would wait, and with it every other process.
            if !ready::now(&self.0, PollFlags::OUT)?.contains(PollFlags::OUT) {
                return Err(Errno::AGAIN);
            }
            rustix::io::write(&self.0, &[modes.special_codes[SpecialCodeIndex::VEOF]]).map(|_| ())
        };
        end().map_err(|errno| match errno {
            Errno::AGAIN => Error::new(Cause::InUse, "the console's input is full"),
            errno => Error::from_errno(errno.raw_os_error(), "ending a console's input"),
        })
    }

    /// Takes what processes have said and nobody reads; otherwise they would wait for ever. For a console whose
    /// client asked for no end of it. False when no process has the console open any more.
    pub fn discard(&self) -> bool {
        let mut said = [0; 4096];
        rustix::io::read(&self.0, &mut said).is_ok()
    }
}

impl AsFd for Console {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

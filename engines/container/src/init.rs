//! PID 1 of a container: reaps what is left to it, and ends the container when it is told to.
//!
//! It is a child of the worker that never exec'd, so it costs a few private pages. It holds two descriptors: the
//! signals and the worker's control pipe. It obeys two commands and one silence:
//!
//! * [`SHUT_DOWN`]: ask every process to end (SIGTERM), go on reaping;
//! * [`FINISH`]: the worker's own children in the container are gone; end as soon as no process is left;
//! * the end of the pipe: the worker is gone; end at once, and the kernel kills the rest.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    process::WaitOptions,
};

use crate::sys;

/// Ask every process to end.
pub const SHUT_DOWN: u8 = b'S';
/// End when no process is left.
pub const FINISH: u8 = b'F';

/// What init is called in process lists.
pub const NAME: &std::ffi::CStr = c"hcs-init";

/// Runs until the end of the container. The caller has closed everything else.
pub(crate) fn run(signals: BorrowedFd<'_>, control: BorrowedFd<'_>) -> ! {
    sys::set_name(NAME);
    let mut finishing = false;
    loop {
        let nobody_left = reap();
        if finishing && nobody_left {
            sys::exit(0);
        }
        let mut waiting = [PollFd::new(&signals, PollFlags::IN), PollFd::new(&control, PollFlags::IN)];
        match rustix::event::poll(&mut waiting, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => sys::exit(1),
        }
        if waiting[0].revents().contains(PollFlags::IN) {
            let mut taken = [0u8; 512];
            let _ = rustix::io::read(signals, &mut taken);
        }
        if !waiting[1].revents().is_empty() {
            let mut command = [0u8; 1];
            match rustix::io::read(control, &mut command) {
                Ok(0) => sys::exit(0),
                Ok(_) if command[0] == SHUT_DOWN => {
                    // No process left to signal is no failure.
                    let _ = sys::signal_all(libc::SIGTERM);
                }
                Ok(_) if command[0] == FINISH => finishing = true,
                _ => {}
            }
        }
    }
}

/// Takes the dead; true when init has no child at all.
fn reap() -> bool {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// The signals that init looks at.
pub(crate) const SIGNALS: &[i32] = &[libc::SIGCHLD];

/// Closes everything but these.
pub(crate) fn keep_only<const N: usize>(kept: &[BorrowedFd<'_>; N]) {
    sys::close_all_but(&mut kept.map(|fd| fd.as_raw_fd()));
}

//! Waiting for a socket.

use std::{os::fd::OwnedFd, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
};

/// Whether something can be done at a socket within this time; without a time it is waited for as long as it takes. A signal may
/// say so too early: whoever is told tries, and asks again.
pub fn ready(socket: &OwnedFd, what: PollFlags, within: Option<Duration>) -> Result<bool, Errno> {
    let within =
        within.map(|time| Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() });
    match rustix::event::poll(&mut [PollFd::new(socket, what)], within.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(true),
        Err(errno) => Err(errno),
    }
}

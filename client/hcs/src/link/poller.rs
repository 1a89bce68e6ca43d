//! Waiting for many descriptors at once.
#![expect(unsafe_code, reason = "epoll_wait of libc; see `Poller::wait`")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::event::epoll::{self, EventData, EventFlags};

/// An epoll instance. Descriptors are watched for edges: what is found is used up, or looked at again.
pub struct Poller(OwnedFd);

/// The events that one wait takes at most.
const MOST: usize = 32;

impl Poller {
    /// An instance that watches nothing.
    pub fn new() -> io::Result<Poller> {
        Ok(Poller(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Watches a descriptor under a key.
    pub fn add(&self, fd: impl AsFd, key: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.0, fd, EventData::new_u64(key), flags | EventFlags::ET)?)
    }

    /// Changes what is watched for, and looks at once.
    pub fn change(&self, fd: impl AsFd, key: u64, flags: EventFlags) {
        // Only a descriptor that is not watched any more cannot be changed, and nobody waits for that.
        let _ = epoll::modify(&self.0, fd, EventData::new_u64(key), flags | EventFlags::ET);
    }

    /// Stops watching.
    pub fn remove(&self, fd: impl AsFd) {
        // What is not watched need not be removed.
        let _ = epoll::delete(&self.0, fd);
    }

    /// Waits, and tells the keys of what is ready. An interrupted wait finds nothing.
    pub fn wait(&self, timeout: Option<Duration>, keys: &mut Vec<u64>) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; MOST];
        // Rounded up, so that a deadline has come when the wait for it ends.
        let milliseconds = timeout
            .map_or(-1, |timeout| i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
        // rustix calls epoll_pwait without its sixth argument, which valgrind reports in every program that uses the
        // C library.
        // SAFETY: the descriptor is ours, and the array has room for as many events as is said.
        let found =
            unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), MOST as i32, milliseconds) };
        keys.clear();
        keys.extend(events.iter().take(found.max(0) as usize).map(|event| event.u64));
    }
}

impl AsFd for Poller {
    /// Readable when a wait would find something.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

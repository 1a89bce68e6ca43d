//! The few Windows functions that HCS programs need around the API, over file descriptors.
//!
//! A `HANDLE` here is a descriptor: 0 cannot be one (it reads as NULL), and -1 is `INVALID_HANDLE_VALUE`.

mod events;
mod files;
mod last_error;
mod memory;

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use crate::abi::Handle;
use last_error::Win32Error;

/// The handle of a descriptor that becomes the caller's. Never one of the first three, which programs use for
/// their own streams.
pub fn handle_of(fd: OwnedFd) -> Handle {
    const LOWEST: RawFd = 3;
    let fd = if fd.as_raw_fd() < LOWEST {
        match rustix::io::fcntl_dupfd_cloexec(&fd, LOWEST) {
            Ok(moved) => moved,
            // No descriptor is free, so there is nothing that could be handed out.
            Err(_) => return 0,
        }
    } else {
        fd
    };
    fd.into_raw_fd() as Handle
}

/// A descriptor of our own for the open file in a handle; `None` if the handle is not valid.
pub fn file_of(handle: Handle) -> Option<std::fs::File> {
    let fd = descriptor(handle).ok()?;
    rustix::io::fcntl_dupfd_cloexec(events::borrow(fd), 3).ok().map(std::fs::File::from)
}

/// A descriptor of our own for the event in a handle, whoever has made it; `None` if it is none.
pub fn event_of(handle: Handle) -> Option<std::fs::File> {
    let event = file_of(handle)?;
    // Only there a descriptor tells that it is an eventfd. A program that cannot see it is believed.
    match std::fs::read_link(format!("/proc/self/fd/{}", event.as_raw_fd())) {
        Ok(name) => (name.as_os_str() == "anon_inode:[eventfd]").then_some(event),
        Err(_) => Some(event),
    }
}

/// The descriptor in a handle.
fn descriptor(handle: Handle) -> Result<RawFd, Win32Error> {
    match RawFd::try_from(handle as isize) {
        Ok(fd) if fd > 0 => Ok(fd),
        _ => Err(Win32Error::INVALID_HANDLE),
    }
}

//! Events over eventfd, and waiting for anything that can become readable.
#![expect(unsafe_code, reason = "exported names; descriptors come from the caller as numbers")]

use std::{
    collections::HashMap,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use hcs_core::ready;
use rustix::{
    event::{EventfdFlags, PollFlags, eventfd},
    io::Errno,
};

use super::{
    descriptor, handle_of,
    last_error::{Win32Error, succeed, value},
};
use crate::{
    abi::{Context, Handle, Text},
    operations::deadline,
};

const WAIT_OBJECT: u32 = 0;
const WAIT_TIMEOUT: u32 = 258;
const WAIT_FAILED: u32 = u32::MAX;

/// How an event is reset.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reset {
    Manual,
    Auto,
}

/// The descriptors that are events. An eventfd does not tell how it was made.
static EVENTS: LazyLock<Mutex<HashMap<RawFd, Reset>>> = LazyLock::new(Mutex::default);

fn events() -> MutexGuard<'static, HashMap<RawFd, Reset>> {
    EVENTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A descriptor that the caller says is open.
pub fn borrow<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: `fd` is not -1 (`descriptor` saw to that), and it is used for one system call only, which tells a
    // closed descriptor by an error. That the caller does not close it meanwhile is what every such function asks.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// An event's descriptor.
fn event(handle: Handle) -> Result<(RawFd, Reset), Win32Error> {
    let fd = descriptor(handle)?;
    events().get(&fd).map(|reset| (fd, *reset)).ok_or(Win32Error::INVALID_HANDLE)
}

/// Forgets a descriptor that is being closed.
pub fn forget(fd: RawFd) {
    events().remove(&fd);
}

#[unsafe(no_mangle)]
extern "C" fn CreateEventW(
    _attributes: Context,
    manual_reset: i32,
    initial_state: i32,
    name: Text,
) -> Handle {
    let make = || {
        if !name.is_null() {
            return Err(Win32Error::NOT_SUPPORTED);
        }
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let fd = eventfd(u32::from(initial_state != 0), flags).map_err(|_| Win32Error::NOT_ENOUGH_MEMORY)?;
        let handle = handle_of(fd);
        let fd = descriptor(handle).map_err(|_| Win32Error::NOT_ENOUGH_MEMORY)?;
        events().insert(fd, if manual_reset != 0 { Reset::Manual } else { Reset::Auto });
        Ok(handle)
    };
    value(make(), 0)
}

#[unsafe(no_mangle)]
extern "C" fn SetEvent(handle: Handle) -> i32 {
    succeed(event(handle).and_then(|(fd, _)| match rustix::io::write(borrow(fd), &1u64.to_ne_bytes()) {
        // A full counter is set as well.
        Ok(_) | Err(Errno::AGAIN) => Ok(()),
        Err(_) => Err(Win32Error::INVALID_HANDLE),
    }))
}

#[unsafe(no_mangle)]
extern "C" fn ResetEvent(handle: Handle) -> i32 {
    succeed(event(handle).and_then(|(fd, _)| take(fd).map(|_| ())))
}

/// Takes the signal of an event. False when there was none.
fn take(fd: RawFd) -> Result<bool, Win32Error> {
    match rustix::io::read(borrow(fd), &mut [0u8; 8]) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN) => Ok(false),
        Err(_) => Err(Win32Error::INVALID_HANDLE),
    }
}

#[unsafe(no_mangle)]
extern "C" fn WaitForSingleObject(handle: Handle, milliseconds: u32) -> u32 {
    value(descriptor(handle).and_then(|fd| wait(fd, deadline(milliseconds))), WAIT_FAILED)
}

fn wait(fd: RawFd, deadline: Option<Instant>) -> Result<u32, Win32Error> {
    let reset = events().get(&fd).copied();
    loop {
        let descriptor = borrow(fd);
        match ready::until(descriptor, PollFlags::IN, deadline) {
            Ok(found) if found.is_empty() => return Ok(WAIT_TIMEOUT),
            Ok(found) if found.contains(PollFlags::NVAL) => return Err(Win32Error::INVALID_HANDLE),
            // Of several that wait for an auto-reset event one gets it; the others go on waiting.
            Ok(_) if reset == Some(Reset::Auto) && !take(descriptor.as_raw_fd())? => {}
            Ok(_) => return Ok(WAIT_OBJECT),
            Err(_) => return Err(Win32Error::INVALID_HANDLE),
        }
    }
}

//! `ReadFile`, `WriteFile` and `CloseHandle`.
#![expect(unsafe_code, reason = "exported names; descriptors come from the caller as numbers")]

use std::{mem::MaybeUninit, ptr};

use rustix::{
    fs::{FileType, OFlags, fcntl_getfl, fstat},
    io::Errno,
};

use super::{
    descriptor,
    events::{borrow, forget},
    last_error::{Win32Error, succeed},
};
use crate::abi::{Buffer, Context, Handle, Out};

#[unsafe(no_mangle)]
extern "C" fn CloseHandle(handle: Handle) -> i32 {
    let close = || {
        let fd = descriptor(handle)?;
        fcntl_getfl(borrow(fd)).map_err(|_| Win32Error::INVALID_HANDLE)?;
        forget(fd);
        // SAFETY: the descriptor is open, and by this call the caller gives it up.
        unsafe { rustix::io::close(fd) };
        Ok(())
    };
    succeed(close())
}

/// What both directions check first.
fn check(handle: Handle, overlapped: Context, forbidden: OFlags) -> Result<i32, Win32Error> {
    let fd = descriptor(handle)?;
    let flags = fcntl_getfl(borrow(fd)).map_err(|_| Win32Error::INVALID_HANDLE)?;
    if overlapped != 0 {
        return Err(Win32Error::NOT_SUPPORTED);
    }
    if flags & OFlags::RWMODE == forbidden {
        return Err(Win32Error::ACCESS_DENIED);
    }
    Ok(fd)
}

#[unsafe(no_mangle)]
extern "C" fn ReadFile(
    handle: Handle,
    buffer: Buffer,
    size: u32,
    read: Out<u32>,
    overlapped: Context,
) -> i32 {
    read.clear();
    let receive = || {
        let fd = check(handle, overlapped, OFlags::WRONLY)?;
        if size == 0 {
            return Ok(());
        }
        let bytes: &mut [MaybeUninit<u8>] = buffer.bytes(size).ok_or(Win32Error::INVALID_PARAMETER)?;
        loop {
            match rustix::io::read(borrow(fd), &mut *bytes) {
                Ok(([], _)) => return end_of(fd),
                Ok((filled, _)) => {
                    read.set(filled.len() as u32);
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                // A terminal whose other side is closed.
                Err(Errno::IO) => return end_of(fd),
                Err(Errno::AGAIN) => return Err(Win32Error::NO_DATA),
                Err(Errno::BADF) => return Err(Win32Error::INVALID_HANDLE),
                Err(_) => return Err(Win32Error::GEN_FAILURE),
            }
        }
    };
    succeed(receive())
}

/// The end of a file is no error; that of a pipe, a socket or a terminal is.
fn end_of(fd: i32) -> Result<(), Win32Error> {
    match fstat(borrow(fd)).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::RegularFile | FileType::Directory | FileType::BlockDevice) => Ok(()),
        _ => Err(Win32Error::BROKEN_PIPE),
    }
}

#[unsafe(no_mangle)]
extern "C" fn WriteFile(
    handle: Handle,
    buffer: Buffer,
    size: u32,
    written: Out<u32>,
    overlapped: Context,
) -> i32 {
    written.clear();
    let send = || {
        let fd = check(handle, overlapped, OFlags::RDONLY)?;
        if size == 0 {
            return Ok(());
        }
        let bytes = buffer.content(size).ok_or(Win32Error::INVALID_PARAMETER)?;
        let _quiet = NoSigpipe::begin();
        let mut sent = 0;
        while sent < bytes.len() {
            match rustix::io::write(borrow(fd), &bytes[sent..]) {
                Ok(count) => {
                    sent += count;
                    written.set(sent as u32);
                }
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::AGAIN | Errno::CONNRESET) => return Err(Win32Error::NO_DATA),
                Err(Errno::BADF) => return Err(Win32Error::INVALID_HANDLE),
                Err(_) => return Err(Win32Error::GEN_FAILURE),
            }
        }
        Ok(())
    };
    succeed(send())
}

/// Keeps SIGPIPE away from this thread while it writes, and takes back the one that a write has raised.
struct NoSigpipe {
    before: libc::sigset_t,
    was_pending: bool,
}

impl NoSigpipe {
    fn begin() -> NoSigpipe {
        let mut before = MaybeUninit::uninit();
        let set = sigpipe();
        // SAFETY: both sets are on this stack; `before` is initialised by the call, which cannot fail with these
        // arguments.
        let before = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, before.as_mut_ptr());
            before.assume_init()
        };
        NoSigpipe { before, was_pending: is_pending() }
    }
}

impl Drop for NoSigpipe {
    fn drop(&mut self) {
        if !self.was_pending && is_pending() {
            let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: the signal is blocked in this thread; the call takes it if it is pending and returns at once.
            unsafe { libc::sigtimedwait(&sigpipe(), ptr::null_mut(), &none) };
        }
        // SAFETY: `before` is the mask that `begin` found.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut()) };
    }
}

fn sigpipe() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        set.assume_init()
    }
}

fn is_pending() -> bool {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigpending initialises the set.
    unsafe {
        libc::sigpending(set.as_mut_ptr());
        libc::sigismember(set.as_ptr(), libc::SIGPIPE) == 1
    }
}

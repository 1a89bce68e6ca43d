//! Threads that the program around us does not notice: they take none of its signals.
#![expect(unsafe_code, reason = "signal masks of threads have no safe interface")]

use std::{io, mem::MaybeUninit, ptr, thread};

/// How much room such a thread has for our own functions.
const SMALL: usize = 256 << 10;

/// Starts a thread with every signal blocked. A program's handlers then run on its own threads, as its author
/// expects, and `sigwait` gets what it waits for.
pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<thread::JoinHandle<()>> {
    spawn_with_stack(name, SMALL, body)
}

/// The same, with so many bytes of room for functions of the program.
pub fn spawn_with_stack(
    name: &str,
    stack: usize,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are on this stack; sigfillset initialises the one and pthread_sigmask the other. A
    // thread inherits the mask of its parent, so the mask is only changed for the moment of the birth.
    unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        let error = libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
    }
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(stack).spawn(body);
    // SAFETY: `before` was initialised by the successful call above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    thread
}

//! Descriptors that tokio watches for one kind of readiness.
#![expect(unsafe_code, reason = "tokio leaves the promise that a descriptor stays what it is to the caller")]

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// Has tokio watch a descriptor, which it owns from now on.
pub fn watch(fd: impl Into<OwnedFd>, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is one open descriptor of one number until it is dropped, and AsyncFd takes it off the
    // list of what is watched before it drops it.
    Ok(unsafe { AsyncFd::register_with_interest(fd.into(), interest) }?)
}

/// Waits until a process is dead: its descriptor can be read then.
pub async fn death(pidfd: impl AsFd) -> io::Result<()> {
    let watched = watch(pidfd.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
    watched.readable().await.map(|_| ())
}

//! Descriptors that tokio watches for one kind of readiness.
#![expect(unsafe_code, reason = "tokio leaves the promise that a descriptor stays what it is to the caller")]

use std::os::fd::OwnedFd;

use tokio::io::{
    Interest,
    unix::{AsyncFd, AsyncFdRegisterError},
};

/// Has tokio watch a descriptor, which it owns from now on. That takes no other descriptor.
pub fn watch(
    fd: impl Into<OwnedFd>,
    interest: Interest,
) -> Result<AsyncFd<OwnedFd>, AsyncFdRegisterError<OwnedFd>> {
    // SAFETY: an OwnedFd is one open descriptor of one number until it is dropped, and AsyncFd takes it off the
    // list of what is watched before it drops it.
    unsafe { AsyncFd::register_with_interest(fd.into(), interest) }
}

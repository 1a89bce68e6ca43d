//! How failures of this crate are told.

pub use hcs_core::io_failure as io;
use hcs_core::{Cause, Error};
use rustix::io::Errno;

/// An operation of the system has failed.
pub fn on(doing: &str) -> impl Fn(Errno) -> Error {
    move |errno| Error::from_errno(errno.raw_os_error(), doing)
}

/// A disk is not what it must be.
pub fn invalid(detail: impl Into<String>) -> Error {
    Error::new(Cause::InvalidData, detail)
}

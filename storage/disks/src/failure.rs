//! How failures of this crate are told.

use std::{io, path::Path};

use hcs_core::{Cause, Error};
use rustix::io::Errno;

/// An operation of the system has failed.
pub fn on(doing: &str) -> impl Fn(Errno) -> Error {
    move |errno| Error::from_errno(errno.raw_os_error(), doing)
}

/// As [`on`], for the errors of std on a path.
pub fn io(path: &Path, doing: &str) -> impl Fn(io::Error) -> Error {
    let what = format!("{doing} {}", path.display());
    move |error| Error::from_io(&error, &what)
}

/// A disk is not what it must be.
pub fn invalid(detail: impl Into<String>) -> Error {
    Error::new(Cause::InvalidData, detail)
}

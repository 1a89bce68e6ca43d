//! How failures of this crate are told.

use std::path::Path;

pub use hcs_core::io_failure as io;
use hcs_core::{Cause, Error};
use rustix::io::Errno;

/// An operation of the system on a path has failed.
pub fn on(path: &Path, doing: &str) -> impl Fn(Errno) -> Error {
    let what = format!("{doing} {}", path.display());
    move |errno| Error::from_errno(errno.raw_os_error(), &what)
}

/// What came from outside is not what it must be.
pub fn invalid(detail: impl Into<String>) -> Error {
    Error::new(Cause::InvalidLayer, detail)
}

/// The name of an entry, for people.
pub fn name(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

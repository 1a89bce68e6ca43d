//! How it is told that the service cannot be reached, or not any more.

use std::{io, path::Path};

use hcs_core::Cause;

use crate::Error;

/// How a lost connection is told.
pub fn lost(error: io::Error) -> Error {
    let detail = format!("the connection to the host compute service was lost: {error}");
    let cause = match Cause::from_errno(error.raw_os_error().unwrap_or(0)) {
        // What has come brought descriptors, for which this process has no room.
        Cause::TooManyOpenFiles => Cause::TooManyOpenFiles,
        _ => Cause::ServiceDisconnect,
    };
    hcs_core::Error::new(cause, detail).into()
}

/// The service was away for too long, or the session was ended.
pub fn over() -> Error {
    over_because(None)
}

/// The same, with what the last attempt to reach it came to.
pub fn over_because(why: Option<&Error>) -> Error {
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    let detail = format!("the host compute service was away for too long{why}");
    hcs_core::Error::new(Cause::ServiceDisconnect, detail)
        .hint("Connect anew and open the systems again.")
        .into()
}

/// Whether a failed connect says that the service is not running, or takes nobody in.
pub fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound, WouldBlock};
    matches!(error.kind(), NotFound | ConnectionRefused | WouldBlock)
}

/// How a failed connect is told.
pub fn unreachable(path: &Path, error: &io::Error) -> Error {
    let (cause, hint) = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            (Cause::NotPrivileged, "Use it as root, or as a member of the group hcs.")
        }
        _ => (Cause::ServiceNotAvailable, "Is hcsd running? HCS_SOCKET names another socket."),
    };
    let detail = format!("the host compute service at {}: {error}", path.display());
    hcs_core::Error::new(cause, detail).hint(hint).into()
}

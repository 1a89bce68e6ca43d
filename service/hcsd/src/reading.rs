//! Documents of calls, read as the API must: an unknown member does not fail the call, but the log tells of it, because nothing is
//! ignored in silence.
//!
//! The methods read with it. The documents of systems are read where they are planned: what has no effect there is told in the
//! reply as well.

use hcs_container::policy::Notice;
use hcs_core::Error;
use hcs_schema::{Any, Document, Reading};

/// Reads a document.
pub fn read<T: Document>(text: &str) -> Result<T, Error> {
    Ok(told(hcs_schema::read::<T>(text)?))
}

/// Reads a document that is part of another, at that path.
pub fn read_at<T: Document>(document: &Any, path: &str) -> Result<T, Error> {
    Ok(told(document.read_at::<T>(path)?))
}

/// Tells of what has been planned and has no effect.
pub fn tell(notices: &[Notice]) {
    for Notice { path, message } in notices {
        tracing::warn!(path, "a member of a call's document has no effect: {message}");
    }
}

fn told<T>(reading: Reading<T>) -> T {
    for unknown in &reading.unknown {
        tracing::warn!(%unknown, "a member of a call's document has no effect");
    }
    reading.value
}

//! How many descriptors the service may have open: as many as it can be allowed. Its workers, and through them
//! containers, keep the limit that it was started with: old programs go through all descriptors that they might have.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

static GIVEN: OnceLock<Rlimit> = OnceLock::new();

/// Raises the limit of this process.
pub fn raise() {
    let given = GIVEN.get_or_init(|| getrlimit(Resource::Nofile));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: given.maximum, maximum: given.maximum })
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// Gives a process that was just started the limit that this one was started with.
pub fn give_back(process: u32) -> std::io::Result<()> {
    if let (Some(given), Some(pid)) = (GIVEN.get(), Pid::from_raw(process.cast_signed())) {
        prlimit(Some(pid), Resource::Nofile, *given)?;
    }
    Ok(())
}

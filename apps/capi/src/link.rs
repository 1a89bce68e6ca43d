//! The program's session with the service, made at its first call.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hcs::{Error, Link, link::Options};

/// An attempt to connect, under way or over. Who comes while it is under way waits for it, and shares how it ends: with a
/// service that hangs, nobody waits longer than one attempt takes.
type Attempt = Arc<OnceLock<Result<Link, Error>>>;

/// The latest, and the process that made it: a child of fork has no part in its parent's session.
static LATEST: Mutex<Option<(u32, Attempt)>> = Mutex::new(None);

/// The link. One that was lost for good is replaced, so that a program can go on with a new service.
pub fn link() -> Result<Link, Error> {
    attempt().get_or_init(|| Link::connect(&Options::default())).clone()
}

/// The attempt to take part in: the latest, unless it has come to nothing.
fn attempt() -> Attempt {
    let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    let own = std::process::id();
    let is_good = |attempt: &Attempt| match attempt.get() {
        None => true,
        Some(made) => made.as_ref().is_ok_and(|link| !link.is_lost()),
    };
    match latest.take() {
        Some((pid, attempt)) if pid == own && is_good(&attempt) => {
            *latest = Some((pid, attempt.clone()));
            return attempt;
        }
        // The parent's thread does not exist here, and its descriptors are its own affair.
        Some((pid, attempt)) if pid != own => std::mem::forget(attempt),
        _ => {}
    }
    let attempt = Attempt::default();
    *latest = Some((own, attempt.clone()));
    attempt
}

//! The program's session with the service, made at its first call.

use std::sync::{Mutex, PoisonError};

use hcs::{Error, Link, link::Options};

/// The link and the process that made it: a child of fork has no part in its parent's session.
static LINK: Mutex<Option<(u32, Link)>> = Mutex::new(None);

/// The link. One that was lost for good is replaced, so that a program can go on with a new service.
pub fn link() -> Result<Link, Error> {
    let mut current = LINK.lock().unwrap_or_else(PoisonError::into_inner);
    let own = std::process::id();
    match current.take() {
        Some((pid, link)) if pid == own && !link.is_lost() => {
            *current = Some((pid, link.clone()));
            return Ok(link);
        }
        // The parent's thread does not exist here, and its descriptors are its own affair.
        Some((pid, link)) if pid != own => std::mem::forget(link),
        _ => {}
    }
    let link = Link::connect(&Options::default())?;
    *current = Some((own, link.clone()));
    Ok(link)
}

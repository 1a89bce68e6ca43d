//! The harness of the end-to-end tests: a private hcsd on the shipped binaries, and a look at what is left.
//!
//! The tests themselves are in `tests/`. They need root, as the service does. Where that cannot be had,
//! `HCS_TESTS_SKIP=1` makes them end with a loud line instead of a failure.
#![forbid(unsafe_code)]

pub mod binaries;
pub mod leftovers;
pub mod processes;
pub mod random;
pub mod raw;
pub mod rootfs;
mod service;

use std::time::{Duration, Instant};

pub use service::Service;

/// Waits for something that happens soon; panics with `what` if it does not.
pub fn until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

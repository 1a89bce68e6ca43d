//! The harness of the end-to-end tests: a private hcsd on the shipped binaries, and a look at what is left.
//!
//! The tests themselves are in `tests/`. They need root, as the service does. Where that cannot be had,
//! `HCS_TESTS_SKIP=1` makes them end with a loud line instead of a failure.

pub mod binaries;
pub mod counts;
pub mod faults;
pub mod folder;
pub mod leftovers;
pub mod machine;
pub mod processes;
pub mod random;
pub mod raw;
pub mod rootfs;
mod service;
pub mod tool;
pub mod vmrs;

use std::{
    process::Command,
    time::{Duration, Instant},
};

pub use service::Service;

/// Runs a program of the host, which must succeed; what it says.
pub fn host(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits for something that happens soon; panics with `what` if it does not.
pub fn until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

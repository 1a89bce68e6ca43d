//! Where the shipped binaries are: in `HCS_BIN_DIR`, or in the folder of the profile that the tests belong to.

use std::{env, path::PathBuf};

/// The path of a binary. Panics with what to do if it is not there.
pub fn find(name: &str) -> PathBuf {
    let folder = env::var_os("HCS_BIN_DIR").map(PathBuf::from).unwrap_or_else(|| {
        // target/<profile>/deps/<test>
        let own = env::current_exe().expect("the test's own path");
        own.ancestors().nth(2).expect("target/<profile>").to_owned()
    });
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: build the workspace first, or set HCS_BIN_DIR", path.display());
    path
}

//! Where the shipped binaries are: in `HCS_BIN_DIR`, or in the folder of the profile that the tests belong to.

use std::{env, path::PathBuf};

/// The path of a binary. Panics with what to do if it is not there.
pub fn find(name: &str) -> PathBuf {
    let folders = match env::var_os("HCS_BIN_DIR") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => {
            // target/<profile>/deps/<test>, or target/<profile>/<program>
            let own = env::current_exe().expect("the test's own path");
            own.ancestors().skip(1).take(2).map(PathBuf::from).collect()
        }
    };
    let mut paths = folders.iter().rev().map(|folder| folder.join(name));
    let path = paths.clone().find(|path| path.is_file()).or_else(|| paths.next()).expect("a folder");
    assert!(path.is_file(), "{} is missing: build the workspace first, or set HCS_BIN_DIR", path.display());
    path
}

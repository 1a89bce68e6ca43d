//! The programs that belong to this one.

use std::path::PathBuf;

/// Where the one of this name is if it is installed as it should be: beside this program.
pub fn beside(name: &str) -> PathBuf {
    std::env::current_exe().unwrap_or_default().with_file_name(name)
}

/// The same, or else the one that is found as programs are found.
pub fn find(name: &str) -> PathBuf {
    Some(beside(name)).filter(|path| path.exists()).unwrap_or_else(|| name.into())
}

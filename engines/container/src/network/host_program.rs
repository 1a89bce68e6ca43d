//! Programs of the host that the engine needs. The worker has no PATH.

use std::path::PathBuf;

use hcs_core::{Cause, Error};

const FOLDERS: &[&str] = &["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"];

/// Finds one, or says which package has it.
pub fn find(name: &str, package: &str) -> Result<PathBuf, Error> {
    let paths = FOLDERS.iter().map(|folder| PathBuf::from(folder).join(name));
    paths.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Error::new(Cause::NotSupported, format!("the program {name} is not installed"))
            .at("$.Container.Networking.Linux.Mode")
            .hint(format!("Install the package {package}."))
    })
}

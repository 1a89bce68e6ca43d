//! Programs of the host that an engine needs. The worker has no PATH.

use std::path::PathBuf;

use hcs_core::{Cause, Error};

const FOLDERS: &[&str] = &["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"];

/// Finds one, or says which package has it. `blame` is the member of the document that wants it.
pub fn find(name: &str, package: &str, blame: &str) -> Result<PathBuf, Error> {
    let paths = FOLDERS.iter().map(|folder| PathBuf::from(folder).join(name));
    paths.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Error::new(Cause::NotSupported, format!("the program {name} is not installed"))
            .at(blame)
            .hint(format!("Install the package {package}."))
    })
}

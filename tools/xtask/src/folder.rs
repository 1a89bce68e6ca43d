//! A temporary folder of a test, removed when it is dropped.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::Outcome;

/// The folder.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Makes one for us alone.
    pub fn new(name: &str) -> Outcome<TemporaryFolder> {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        // It must not be there yet: somebody else's folder is never used, nor removed.
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(TemporaryFolder(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("xtask: {} remains: {error}", self.0.display());
        }
    }
}

//! The host as the checks of `hcs doctor` look at it: this one, or one that was recorded, for their tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use hcs_core::host_program::FOLDERS;

/// A host: this one, or a folder with what was recorded of another.
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// This one.
    pub fn this() -> Host {
        Host { root: "/".into() }
    }

    /// A recorded one.
    #[cfg(test)]
    pub fn recorded(root: &Path) -> Host {
        Host { root: root.to_owned() }
    }

    /// A path of it, which is written without the slash at its beginning.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Whether something is there.
    pub fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The text of a file; nothing if it cannot be read.
    pub fn read(&self, path: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(path)).unwrap_or_default()).into_owned()
    }

    /// The number that a file holds.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.read(path).trim().parse().ok()
    }

    /// Where a program is.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        FOLDERS.iter().map(|folder| self.path(&folder[1..]).join(name)).find(|path| path.is_file())
    }
}

/// What a program says of its version.
pub fn version_of(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

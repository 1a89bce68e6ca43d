//! Folders that are made for what a host adds, and that go again when it cannot be added.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use hcs_core::{Cause, Error};

use super::member as blame;

/// A folder of an absolute path, and those above it that were not there.
#[derive(Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// The lowest last.
    made: Vec<PathBuf>,
}

impl Folder {
    /// Makes it, if it is not there. `member` is the member of the settings that names it.
    pub fn make(path: &str, mode: u32, member: &str) -> Result<Folder, Error> {
        let mut folder = Folder { path: absolute(path, member)?, made: Vec::new() };
        let missing: Vec<PathBuf> =
            folder.path.ancestors().take_while(|above| !above.exists()).map(Path::to_owned).collect();
        for path in missing.into_iter().rev() {
            match fs::DirBuilder::new().mode(mode).create(&path) {
                Ok(()) => folder.made.push(path),
                Err(error) => {
                    return Err(
                        Error::from_io(&error, format!("making {}", path.display())).at(blame(member))
                    );
                }
            }
        }
        if !folder.path.is_dir() {
            let detail = format!("{} is there and is no folder", folder.path.display());
            return Err(Error::new(Cause::FileExists, detail).at(blame(member)));
        }
        Ok(folder)
    }

    /// It stays.
    pub fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for path in self.made.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

/// A path that means the same whoever reads it.
pub fn absolute(path: &str, member: &str) -> Result<PathBuf, Error> {
    let is_below_root = path.starts_with('/') && Path::new(path).file_name().is_some();
    if is_below_root && !path.split('/').any(|part| part == "..") && !path.contains('\0') {
        return Ok(path.into());
    }
    Err(Error::new(Cause::InvalidArgument, format!("{member} is {path:?}"))
        .at(blame(member))
        .hint("Say an absolute path of the machine, without \"..\"."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::device::recorded::Recorded;

    #[test]
    fn a_folder_that_is_not_kept_goes_with_those_that_were_made_for_it() {
        let there = Recorded::new("folders");
        let at = |path: &str| there.path().join(path).display().to_string();
        there.folder("before");
        drop(Folder::make(&at("before/a/b"), 0o700, "MountPath").unwrap());
        assert!(!there.path().join("before/a").exists() && there.path().join("before").exists());
        // What was there before stays.
        drop(Folder::make(&at("before"), 0o700, "MountPath").unwrap());
        assert!(there.path().join("before").exists());
        Folder::make(&at("before/a/b"), 0o700, "MountPath").unwrap().keep();
        assert!(there.path().join("before/a/b").exists());
    }

    #[test]
    fn a_failure_on_the_way_leaves_nothing_behind() {
        let there = Recorded::new("folders-failing");
        there.file("file", "");
        let path = there.path().join("file/a/b").display().to_string();
        let error = Folder::make(&path, 0o700, "MountPath").unwrap_err();
        assert_eq!(error.path.as_deref(), Some("$.Request.Settings.MountPath"));
        let path = there.path().join("file").display().to_string();
        assert_eq!(Folder::make(&path, 0o700, "MountPath").unwrap_err().cause, Cause::FileExists);
        // A name that is too long, below a folder that could be made.
        let path = there.path().join("a").join("b".repeat(300)).display().to_string();
        assert_eq!(Folder::make(&path, 0o700, "MountPath").unwrap_err().cause, Cause::InvalidArgument);
        assert!(!there.path().join("a").exists());
    }

    #[test]
    fn only_absolute_paths_below_the_root_are_taken() {
        for path in ["", "/", "//", "run/a", "/run/../etc", "/a\0b"] {
            assert_eq!(absolute(path, "MountPath").unwrap_err().cause, Cause::InvalidArgument, "{path:?}");
        }
        assert_eq!(absolute("/run/a..b", "MountPath").unwrap(), Path::new("/run/a..b"));
    }
}

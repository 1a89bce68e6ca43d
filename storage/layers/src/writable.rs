//! Makes a writable layer, with nothing in it. It has parents only once it is attached.

use std::{fs, path::Path};

use hcs_core::{Cause, Error};

use crate::{
    failure,
    layer::{Kind, MARK, Mark, UNION, UPPER, WORK},
};

/// Makes a folder, which is made if it is missing and else must be empty, a writable layer. What one that was killed over
/// it has left is as good as nothing.
pub fn initialize(path: &Path) -> Result<(), Error> {
    let is_new = fs::symlink_metadata(path).is_err();
    let made = prepare(path);
    if made.is_err() && is_new {
        // Unless it has been filled by somebody else.
        let _ = fs::remove_dir(path);
    }
    made
}

fn prepare(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(failure::io(path, "making"))?;
    for entry in fs::read_dir(path).map_err(failure::io(path, "reading"))? {
        let entry = entry.map_err(failure::io(path, "reading"))?;
        if !is_nothing(&entry) {
            let detail =
                format!("{} has {:?} in it, expected an empty folder", path.display(), entry.file_name());
            return Err(Error::new(Cause::AlreadyExists, detail));
        }
    }
    let made = || -> Result<(), Error> {
        for name in [UPPER, WORK, UNION] {
            let folder = path.join(name);
            fs::create_dir_all(&folder).map_err(failure::io(&folder, "making"))?;
        }
        // Last, because it makes a layer of it.
        Mark::new(Kind::Writable, None).write(path)
    };
    made().inspect_err(|_| {
        let _ = fs::remove_file(path.join(MARK));
        for name in [UPPER, WORK, UNION] {
            let _ = fs::remove_dir(path.join(name));
        }
    })
}

/// Whether this is in every fresh file system, or an empty part of a layer that has not become one.
fn is_nothing(entry: &fs::DirEntry) -> bool {
    let (name, path) = (entry.file_name(), entry.path());
    if [UPPER, WORK, UNION].iter().any(|part| name == *part) {
        return fs::read_dir(path).is_ok_and(|mut inner| inner.next().is_none());
    }
    // It has what the check of a file system finds.
    name == "lost+found" || (name == MARK && fs::metadata(path).is_ok_and(|mark| mark.len() == 0))
}

//! Prepares a writable layer.

use std::{fs, path::Path};

use hcs_core::{Cause, Error};

use crate::{
    failure,
    layer::{Kind, MARK, Mark, UNION, UPPER, WORK},
};

/// Makes a folder, which is made if it is missing and else must be empty, a writable layer.
pub fn initialize(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(failure::io(path, "making"))?;
    let mut there = fs::read_dir(path).map_err(failure::io(path, "reading"))?;
    // A fresh file system has this folder for what its check finds.
    let strange = there.find(|entry| entry.as_ref().map_or(true, |entry| entry.file_name() != "lost+found"));
    if let Some(entry) = strange {
        let name = entry.map(|entry| entry.file_name().to_string_lossy().into_owned()).unwrap_or_default();
        let detail = format!("{} has {name:?} in it, expected an empty folder", path.display());
        return Err(Error::new(Cause::AlreadyExists, detail));
    }
    let made = || -> Result<(), Error> {
        for name in [UPPER, WORK, UNION] {
            let folder = path.join(name);
            fs::create_dir(&folder).map_err(failure::io(&folder, "making"))?;
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

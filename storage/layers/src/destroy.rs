//! Removes a layer, and nothing else.

use std::{fs, path::Path};

use hcs_core::{Cause, Error};

use crate::{
    failure,
    layer::{self, FILES, Kind, MARK, UNION, UPPER, WORK},
    stage, union,
};

/// Removes what makes a mounted disk a layer, and what was written to it; the disk stays. One that is no layer is left
/// as it is.
pub fn destroy_content(disk: &Path) -> Result<(), Error> {
    if fs::symlink_metadata(disk.join(MARK)).is_err() {
        return Ok(());
    }
    let layer = layer::open(disk)?;
    if layer.mark.kind == Kind::Writable && union::is_attached(&disk.join(UNION))? {
        return Err(Error::new(Cause::InUse, format!("{} is attached", disk.join(UNION).display()))
            .hint("HcsDetachLayerStorageFilter takes a union away."));
    }
    // The mark goes first: what is left by a crash is no layer.
    let mark = disk.join(MARK);
    fs::remove_file(&mark).map_err(failure::io(&mark, "removing"))?;
    for name in [UPPER, WORK, UNION, FILES] {
        let folder = disk.join(name);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failure::io(&folder, "removing")(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes the layer at a path. What is no layer, is mounted, or has something mounted in it, stays.
pub fn destroy(path: &Path) -> Result<(), Error> {
    layer::open(path)?;
    if let Some(mount) = union::mount_below(path)? {
        return Err(Error::new(Cause::InUse, format!("{mount} is mounted in the layer"))
            .hint("HcsDetachLayerStorageFilter takes a union away."));
    }
    // Under another name first: whoever looks meanwhile finds a layer or none.
    let doomed = stage::beside(path, "destroyed")?;
    if fs::symlink_metadata(&doomed).is_ok() {
        fs::remove_dir_all(&doomed).map_err(failure::io(&doomed, "removing"))?;
    }
    fs::rename(path, &doomed).map_err(failure::io(path, "removing"))?;
    // Links in it are removed and never followed.
    fs::remove_dir_all(&doomed).map_err(failure::io(&doomed, "removing"))
}

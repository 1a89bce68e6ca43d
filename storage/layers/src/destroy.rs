//! Removes a layer, and nothing else.

use std::{fs, path::Path};

use hcs_core::{Cause, Error};

use crate::{failure, layer, stage, union};

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

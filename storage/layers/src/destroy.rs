//! Removes a layer, and nothing else.

use std::{fs, path::Path};

use hcs_core::{Cause, Error};

use crate::{failure, layer, union};

/// Removes the layer at a path. What is no layer, is mounted, or has something mounted in it, stays.
pub fn destroy(path: &Path) -> Result<(), Error> {
    layer::open(path)?;
    if let Some(mount) = union::mount_below(path)? {
        return Err(Error::new(Cause::InUse, format!("{mount} is mounted in the layer"))
            .hint("HcsDetachLayerStorageFilter takes a union away."));
    }
    // Under another name first: whoever looks meanwhile finds a layer or none.
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::new(Cause::InvalidArgument, format!("{} is no layer", path.display())));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".destroyed");
    let doomed = parent.join(hidden);
    if fs::symlink_metadata(&doomed).is_ok() {
        fs::remove_dir_all(&doomed).map_err(failure::io(&doomed, "removing"))?;
    }
    fs::rename(path, &doomed).map_err(failure::io(path, "removing"))?;
    // Links in it are removed and never followed.
    fs::remove_dir_all(&doomed).map_err(failure::io(&doomed, "removing"))
}

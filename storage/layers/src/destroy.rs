//! Removes a layer, and nothing else.

use std::{fs, path::Path};

use hcs_core::{Cause, Error, lock::Held};

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
/// Where one was killed over it, the next goes on.
pub fn destroy(path: &Path) -> Result<(), Error> {
    let layer = match layer::open(path) {
        // A crash has cut off what is asked for here.
        Err(_) if fs::symlink_metadata(path).is_err() && stage::remove_destroyed(path)? => return Ok(()),
        opened => opened?,
    };
    if let Some(mount) = union::mount_below(path)? {
        return Err(Error::new(Cause::InUse, format!("{mount} is mounted in the layer"))
            .hint("HcsDetachLayerStorageFilter takes a union away."));
    }
    let in_use =
        |by: String| Err(Error::new(Cause::InUse, format!("the layer {} is in use by {by}", path.display())));
    // Held until the end, so that no container begins to use it.
    let Some(_lock) = Held::try_take(&layer.folder).map_err(failure::on(path, "locking"))? else {
        return in_use("a container, or by who attaches it".to_owned());
    };
    // With the lock: who is just attaching it has noted that, and attached nothing yet.
    if let Some(user) = union::user_of(&layer)? {
        return in_use(format!("what is attached at {}", user.display()));
    }
    // Under another name first: whoever looks meanwhile finds a layer or none.
    stage::remove_destroyed(path)?;
    let doomed = stage::beside(path, "destroyed")?;
    fs::rename(path, &doomed).map_err(failure::io(path, "removing"))?;
    // Links in it are removed and never followed.
    fs::remove_dir_all(&doomed).map_err(failure::io(&doomed, "removing"))
}

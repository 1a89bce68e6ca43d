//! The union of a writable layer and its parents, attached and detached.

use std::{
    fs,
    io::ErrorKind,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use hcs_core::{Cause, Error, lock::Held, mountinfo};
use hcs_schema::LayerData;
use rustix::{
    fs::Mode,
    io::Errno,
    mount::{MoveMountFlags, UnmountFlags},
};

use crate::{
    digest, failure,
    layer::{self, Kind, Layer, UNION, UPPER, WORK},
    tree,
};

pub use hcs_union::{MOST, USERS};

/// Attaches the union at `rootfs` of a writable layer. One that is attached already is left as it is.
pub fn attach(writable: &Layer, parents: &LayerData) -> Result<(), Error> {
    expect_writable(writable)?;
    let listed = parents.layers.as_deref().unwrap_or_default();
    if listed.is_empty() || listed.len() > MOST {
        let detail = format!("found {} layers, expected 1 to {MOST}", listed.len());
        return Err(Error::new(Cause::InvalidData, detail).at("$.Layers"));
    }
    let (mut folders, mut opened_parents) =
        (Vec::with_capacity(listed.len()), Vec::with_capacity(listed.len()));
    for (index, parent) in listed.iter().enumerate() {
        let at = format!("$.Layers[{index}].Path");
        let opened = || {
            let layer = layer::open(&layer::path(parent.path.as_deref().unwrap_or_default())?)?;
            // Until it is noted that it is used, nobody removes it.
            let held = hcs_union::hold(layer.folder.as_fd()).map_err(failure::on(&layer.path, "locking"))?;
            Ok((layer.files()?, (layer, Held::of(held))))
        };
        let (files, parent) = opened().map_err(|error: Error| error.at(at))?;
        folders.push(files);
        opened_parents.push(parent);
    }
    let place = writable.path.join(UNION);
    if is_attached(&place)? {
        return Err(Error::new(Cause::AlreadyExists, format!("{} is attached already", place.display()))
            .hint("HcsDetachLayerStorageFilter takes it away."));
    }
    let own = |name: &str| {
        tree::open(writable.folder.as_fd(), name).map_err(failure::on(&writable.path.join(name), "opening"))
    };
    let (upper, work, target) = (own(UPPER)?, own(WORK)?, own(UNION)?);
    let mount = || -> Result<(), Errno> {
        let made = hcs_union::unite(&folders, &upper, &work)?;
        let by_descriptors =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(made.as_fd(), c"", target.as_fd(), c"", by_descriptors)
    };
    let doing = format!("uniting {} layers at", folders.len());
    let name = digest::of(writable.path.as_os_str().as_encoded_bytes());
    let link = format!("{USERS}/{}", name.trim_start_matches("sha256:"));
    for (parent, _) in &opened_parents {
        note_user(parent, &writable.path, &link)?;
    }
    mount().map_err(failure::on(&place, &doing))
}

/// Leaves a link to the writable layer in a parent. It counts only as long as something is attached there, so one that a
/// crash has left, or a detachment by other means, does no harm.
fn note_user(parent: &Layer, writable: &Path, link: &str) -> Result<(), Error> {
    let make = || rustix::fs::symlinkat(writable, &parent.folder, link);
    let made = match make() {
        Err(Errno::NOENT) => match rustix::fs::mkdirat(&parent.folder, USERS, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => make(),
            failed => failed,
        },
        other => other,
    };
    match made {
        // Of what cannot be written nothing can be removed.
        Err(Errno::EXIST | Errno::ROFS) => Ok(()),
        other => other.map_err(failure::on(&parent.path.join(link), "making")),
    }
}

/// Where a writable layer is attached over this one, if there is such.
pub fn user_of(layer: &Layer) -> Result<Option<PathBuf>, Error> {
    let folder = layer.path.join(USERS);
    // Who cannot be seen must not be taken for nobody: the layer would be removed below them.
    let links = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        links => links.map_err(failure::io(&folder, "reading"))?,
    };
    for link in links {
        let link = link.map_err(failure::io(&folder, "reading"))?;
        let writable = fs::read_link(link.path()).map_err(failure::io(&folder, "reading"))?;
        let place = writable.join(UNION);
        if place.exists() && is_attached(&place)? {
            return Ok(Some(place));
        }
        // A crash has left it, or a layer that is no more.
        let _ = fs::remove_file(link.path());
    }
    Ok(None)
}

/// Takes the union away. That it is not there is an error, as on Windows.
pub fn detach(writable: &Layer) -> Result<(), Error> {
    expect_writable(writable)?;
    let place = writable.path.join(UNION);
    if !is_attached(&place)? {
        return Err(Error::new(Cause::NotFound, format!("nothing is attached at {}", place.display())));
    }
    match unmount(&place) {
        Err(Errno::BUSY) => {
            Err(Error::new(Cause::InUse, format!("somebody uses what is attached at {}", place.display()))
                .hint("End the containers that run on it, and close its files."))
        }
        other => other.map_err(failure::on(&place, "detaching")),
    }
}

/// A program that another thread of the caller is just starting has copies of all descriptors until it runs, maybe also of
/// the mount from when it was attached. That is over in a moment; who really uses it still does then.
fn unmount(place: &Path) -> Result<(), Errno> {
    const TRIES: u32 = 20;
    for _ in 1..TRIES {
        match rustix::mount::unmount(place, UnmountFlags::NOFOLLOW) {
            Err(Errno::BUSY) => std::thread::sleep(std::time::Duration::from_millis(5)),
            other => return other,
        }
    }
    rustix::mount::unmount(place, UnmountFlags::NOFOLLOW)
}

/// Whether something is mounted at a place.
pub fn is_attached(place: &Path) -> Result<bool, Error> {
    let failed = failure::io(place, "looking at");
    let (own, above) = (fs::symlink_metadata(place).map_err(&failed)?, place.parent().unwrap_or(place));
    let above = fs::symlink_metadata(above).map_err(&failed)?;
    Ok(std::os::unix::fs::MetadataExt::dev(&own) != std::os::unix::fs::MetadataExt::dev(&above))
}

fn expect_writable(layer: &Layer) -> Result<(), Error> {
    if layer.mark.kind == Kind::Writable {
        return Ok(());
    }
    Err(failure::invalid(format!("{} is a read-only layer, expected a writable one", layer.path.display())))
}

/// A mount of the host that something below this folder is; what is destroyed must have none.
pub fn mount_below(folder: &Path) -> Result<Option<String>, Error> {
    let text = mountinfo::read()?;
    let folder = fs::canonicalize(folder).map_err(failure::io(folder, "looking at"))?;
    Ok(mountinfo::points_below(&text, &folder).pop().map(|point| point.display().to_string()))
}

//! The root file system of a container: a folder, or a union of layers with a scratch folder on top.
//!
//! Opened by the worker when the container is created, as a detached mount that nobody else sees. Paths are followed
//! once; from then on there are descriptors.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags},
    io::Errno,
    mount::OpenTreeFlags,
};

use crate::{plan::Root, sys};

/// An open root.
pub struct Opened {
    /// The detached mount.
    pub mount: OwnedFd,
    /// Its folder, which stays when the mount is attached.
    pub folder: OwnedFd,
    /// Keep its layers from being removed.
    pub layers: Vec<OwnedFd>,
}

/// Opens a root. Its files are shifted for a user namespace.
pub fn open(root: &Root, users: Option<BorrowedFd<'_>>) -> Result<Opened, Error> {
    let failed = |errno: Errno| {
        Error::from_errno(errno.raw_os_error(), format!("opening the root file system {:?}", root.path))
            .at(&root.blame)
    };
    let scratch = open_folder(CWD, &root.path).map_err(failed)?;
    let is_union = !root.layers.is_empty() && !is_overlay(scratch.as_fd()).map_err(failed)?;
    let mut held = Vec::new();
    let mount = if is_union {
        unite(root, scratch.as_fd(), &mut held)?
    } else {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_EMPTY_PATH;
        rustix::mount::open_tree(scratch.as_fd(), c"", flags).map_err(failed)?
    };
    if let Some(users) = users {
        sys::shift_mount(mount.as_fd(), users).map_err(|errno| {
            let doing = format!("shifting the users of {:?}, which not every file system can", root.path);
            Error::from_errno(errno.raw_os_error(), doing).at(&root.blame)
        })?;
    }
    let folder = open_folder(mount.as_fd(), ".").map_err(failed)?;
    Ok(Opened { mount, folder, layers: held })
}

fn open_folder(at: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(at, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Whether the layers are united already, by `HcsAttachLayerStorageFilter` for instance.
fn is_overlay(folder: BorrowedFd<'_>) -> Result<bool, Errno> {
    const OVERLAYFS: i64 = 0x794c_7630;
    Ok(rustix::fs::fstatfs(folder)?.f_type as i64 == OVERLAYFS)
}

/// Puts the scratch folder on top of the layers. What the container writes is in `upper` there.
fn unite(root: &Root, scratch: BorrowedFd<'_>, held: &mut Vec<OwnedFd>) -> Result<OwnedFd, Error> {
    let upper = scratch_folder(root, scratch, hcs_union::UPPER)?;
    let work = scratch_folder(root, scratch, hcs_union::WORK)?;
    let mut layers = Vec::with_capacity(root.layers.len());
    for (index, path) in root.layers.iter().enumerate() {
        let layer = open_layer(path, held).map_err(|errno| {
            let error = match errno {
                Errno::WOULDBLOCK => Error::new(Cause::InUse, format!("the layer {path:?} is being removed")),
                _ => Error::from_errno(errno.raw_os_error(), format!("opening the layer {path:?}")),
            };
            error.at(format!("$.Container.Storage.Layers[{index}].Path"))
        })?;
        layers.push(layer);
    }
    hcs_union::unite(&layers, &upper, &work).map_err(|errno| {
        let doing = format!("uniting {} layers under {:?}", layers.len(), root.path);
        Error::from_errno(errno.raw_os_error(), doing).at("$.Container.Storage")
    })
}

/// A layer is a folder of files, or one that our own functions have made, which has them below.
fn open_layer(path: &str, held: &mut Vec<OwnedFd>) -> Result<OwnedFd, Errno> {
    let layer = open_folder(CWD, path)?;
    match rustix::fs::statat(&layer, hcs_union::MARK, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
        Ok(mark) if FileType::from_raw_mode(mark.st_mode) == FileType::RegularFile => {
            held.push(hcs_union::hold(layer.as_fd())?);
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            rustix::fs::openat(&layer, hcs_union::FILES, flags, Mode::empty())
        }
        Ok(_) | Err(Errno::NOENT) => Ok(layer),
        Err(errno) => Err(errno),
    }
}

fn scratch_folder(root: &Root, scratch: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Error> {
    let make = || -> Result<OwnedFd, Errno> {
        match rustix::fs::mkdirat(scratch, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(scratch, name, flags, Mode::empty())
    };
    make().map_err(|errno| {
        let doing = format!("making {name:?} in the scratch folder {:?}", root.path);
        Error::from_errno(errno.raw_os_error(), doing).at(&root.blame)
    })
}

/// The disk that a folder is on, as the kernel numbers it; for limits.
pub fn disk_of(folder: BorrowedFd<'_>) -> Result<String, Error> {
    let refused = |why: String| {
        Error::new(Cause::NotSupported, why)
            .at("$.Container.Storage.QoS")
            .hint("Put the root file system on a disk of its own file system, or leave QoS out.")
    };
    let device = rustix::fs::fstat(folder)
        .map_err(|errno| Error::from_errno(errno.raw_os_error(), "looking at the root file system"))?
        .st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    if major == 0 {
        return Err(refused("the root file system is on no disk that could be limited".to_owned()));
    }
    // Limits are those of a whole disk.
    let of_partition = format!("/sys/dev/block/{major}:{minor}");
    if std::path::Path::new(&of_partition).join("partition").exists() {
        let whole = std::fs::read_to_string(format!("{of_partition}/../dev"))
            .map_err(|error| Error::from_io(&error, "looking for the disk of a partition"))?;
        return Ok(whole.trim().to_owned());
    }
    Ok(format!("{major}:{minor}"))
}

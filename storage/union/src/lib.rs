//! What a layer is called on the disk, and the union of layers.
//!
//! Two make unions: the storage functions, at a place that stays, and the worker, for one container. It is a crate of
//! its own because the worker is to stay small, and everything else about layers brings compression along.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{FlockOperation, Mode, OFlags},
    io::Errno,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags},
};

/// The file that makes a folder a layer.
pub const MARK: &str = "layer.json";
/// Where the files of a read-only layer are.
pub const FILES: &str = "fs";
/// Where a writable layer has what was written.
pub const UPPER: &str = "upper";
/// Where overlayfs works; on the same file system.
pub const WORK: &str = "work";
/// Where a layer has a link to each writable layer that is attached over it.
pub const USERS: &str = "users";
/// The most layers of one union.
pub const MOST: usize = 128;

/// Keeps a layer from being removed as long as the descriptor is open. Fails with WOULDBLOCK if somebody is making or
/// removing it.
pub fn hold(layer: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = rustix::fs::openat(layer, c".", flags, Mode::empty())?;
    rustix::fs::flock(&held, FlockOperation::NonBlockingLockShared)?;
    Ok(held)
}

/// Unites layers, the uppermost first, under what is written to `upper`. The mount is nowhere yet.
pub fn unite(layers: &[OwnedFd], upper: &OwnedFd, work: &OwnedFd) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |key: &str, value: &str| rustix::mount::fsconfig_set_string(context.as_fd(), key, value);
    set("source", "hcs")?;
    match layers.iter().try_for_each(|layer| set("lowerdir+", &by_descriptor(layer))) {
        // Kernels before 6.5 take them all at once, and as much text as a path may have.
        Err(Errno::INVAL) => {
            let all: Vec<String> = layers.iter().map(by_descriptor).collect();
            set("lowerdir", &all.join(":"))?;
        }
        other => other?,
    }
    set("upperdir", &by_descriptor(upper))?;
    set("workdir", &by_descriptor(work))?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn by_descriptor(folder: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", folder.as_raw_fd())
}

//! A program file that nobody who runs from it can change.
//!
//! A container's first process is a copy of the worker, so a privileged process inside can reach the worker's
//! program through /proc. It is therefore run from a detached read-only mount: opening it for writing fails,
//! whoever asks, and its pages stay shared by all workers, which a copy in memory would not give.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use hcs_core::Error;
use rustix::{
    fs::CWD,
    mount::{MountAttrFlags, OpenTreeFlags},
};

use crate::sys;

/// Opens a program file so that it can be executed through the descriptor and never written.
pub fn open(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let pinned = rustix::mount::open_tree(CWD, path, flags).and_then(|mount| {
        let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY.bits();
        sys::change_mount_attributes(mount.as_fd(), u64::from(read_only), 0, false)?;
        Ok(mount)
    });
    pinned.map_err(|errno| Error::from_errno(errno.raw_os_error(), format!("opening the program {path:?}")))
}

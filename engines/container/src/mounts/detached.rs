//! Mounts that are nowhere yet: made, and put somewhere, by descriptors alone. Raw calls that allocate nothing, so that
//! a child can make them before it runs anything.

use std::{
    ffi::CStr,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    io::Errno,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags},
};

/// Makes a new file system. An option without a value is a flag.
pub fn make<'a>(
    kind: &CStr,
    options: impl IntoIterator<Item = (&'a CStr, &'a CStr)>,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        if value.is_empty() {
            rustix::mount::fsconfig_set_flag(context.as_fd(), name)?;
        } else {
            rustix::mount::fsconfig_set_string(context.as_fd(), name, value)?;
        }
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Puts a mount over what is open at a place.
pub fn attach(mount: impl AsFd, place: impl AsFd) -> Result<(), Errno> {
    let by_descriptors = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount.as_fd(), c"", place.as_fd(), c"", by_descriptors)
}

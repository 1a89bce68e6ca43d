//! The mount tree of a container, made by its first process inside its own mount namespace.
//!
//! Everything runs between clone and the init loop: raw calls on prepared data, nothing is allocated. All
//! mounts are made after the change of the root, and mount points are opened without following links, so that
//! nothing an image contains can lead outside.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
        UnmountFlags,
    },
};

use crate::{
    confinement::{DEVICE_LINKS, DEVICES},
    extra_mounts,
    launch::Materials,
    report::Step,
    sys,
};

/// What is mounted, prepared before the clone.
pub struct MountPlan<'a> {
    /// What was opened when the container was created.
    pub materials: &'a Materials,
    /// Where the root is attached for the moment between attach and pivot.
    pub root_path: CString,
    /// Hidden paths.
    pub masked: Vec<CString>,
    /// Read-only paths.
    pub read_only: Vec<CString>,
    /// Files below /proc/sys, and what is written to them.
    pub settings: Vec<(CString, CString)>,
}

type Failed = (Step, Errno);

/// Attributes of file systems that hold no programs of the container.
const HARMLESS: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Makes the tree. The caller is in new mount, pid, network and ipc namespaces.
pub fn make(plan: &MountPlan<'_>) -> Result<(), Failed> {
    change_root(plan)?;
    mount(Step::Proc, c"proc", &[], HARMLESS, c"proc", 0o555)?;
    mount(Step::Sys, c"sysfs", &[], HARMLESS | MountAttrFlags::MOUNT_ATTR_RDONLY, c"sys", 0o555)?;
    let nosuid = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let dev = mount(Step::Dev, c"tmpfs", &[(c"mode", c"755"), (c"size", c"65536k")], nosuid, c"dev", 0o755)?;
    make_devices(dev.as_fd()).map_err(|errno| (Step::DevNodes, errno))?;
    // 5 is the group tty of every distribution.
    let console = [(c"newinstance", c""), (c"ptmxmode", c"0666"), (c"mode", c"0620"), (c"gid", c"5")];
    mount(Step::DevPts, c"devpts", &console, nosuid, c"dev/pts", 0o755)?;
    let shared = [(c"mode", c"1777"), (c"size", c"65536k")];
    mount(Step::DevShm, c"tmpfs", &shared, HARMLESS, c"dev/shm", 0o755)?;
    mount(Step::DevMqueue, c"mqueue", &[], HARMLESS, c"dev/mqueue", 0o755)?;
    for device in &plan.materials.devices {
        device.make().map_err(|errno| (Step::DevNodes, errno))?;
    }
    extra_mounts::attach(&plan.materials.mounts).map_err(|errno| (Step::Map, errno))?;
    for (file, value) in &plan.settings {
        change_setting(file, value).map_err(|errno| (Step::Settings, errno))?;
    }
    let mut empty = None;
    for path in &plan.masked {
        mask(path, &mut empty).map_err(|errno| (Step::Mask, errno))?;
    }
    for path in &plan.read_only {
        make_read_only(path).map_err(|errno| (Step::ReadOnly, errno))?;
    }
    Ok(())
}

fn change_root(plan: &MountPlan<'_>) -> Result<(), Failed> {
    let propagation = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", propagation).map_err(|errno| (Step::Propagation, errno))?;
    let attach = || {
        rustix::mount::move_mount(
            &plan.materials.root,
            c"",
            CWD,
            plan.root_path.as_c_str(),
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )?;
        rustix::process::fchdir(&plan.materials.root)
    };
    attach().map_err(|errno| (Step::Root, errno))?;
    let pivot = || {
        // The new root comes over the old one, which is then on top of it and taken away.
        rustix::process::pivot_root(c".", c".")?;
        rustix::mount::mount_change(c".", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
        rustix::process::chdir(c"/")
    };
    pivot().map_err(|errno| (Step::Pivot, errno))
}

/// Mounts a new file system at a folder below the root, which is made if it is missing.
fn mount(
    step: Step,
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: MountAttrFlags,
    folder: &CStr,
    mode: u32,
) -> Result<OwnedFd, Failed> {
    let make = || -> Result<OwnedFd, Errno> {
        let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (name, value) in options {
            if value.is_empty() {
                rustix::mount::fsconfig_set_flag(context.as_fd(), *name)?;
            } else {
                rustix::mount::fsconfig_set_string(context.as_fd(), *name, *value)?;
            }
        }
        rustix::mount::fsconfig_create(context.as_fd())?;
        let made = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        let place = match open_plainly(folder) {
            Err(Errno::NOENT) => {
                rustix::fs::mkdir(folder, Mode::from_raw_mode(mode))?;
                open_plainly(folder)?
            }
            opened => opened?,
        };
        rustix::mount::move_mount(
            made.as_fd(),
            c"",
            place.as_fd(),
            c"",
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
        )?;
        Ok(made)
    };
    make().map_err(|errno| (step, errno))
}

/// A mount point must be what it seems: no link on the way.
fn open_plainly(path: &CStr) -> Result<OwnedFd, Errno> {
    let relative = path.to_bytes_with_nul();
    let relative = if relative[0] == b'/' { &relative[1..] } else { relative };
    // A suffix of a C string is a C string.
    let relative = CStr::from_bytes_with_nul(relative).map_err(|_| Errno::INVAL)?;
    rustix::fs::openat2(
        CWD,
        relative,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::IN_ROOT,
    )
}

fn make_devices(dev: BorrowedFd<'_>) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(0o666);
    for node in DEVICES {
        let number = rustix::fs::makedev(node.major, node.minor);
        rustix::fs::mknodat(dev, node.name, FileType::CharacterDevice, mode, number)?;
    }
    for (name, target) in DEVICE_LINKS {
        rustix::fs::symlinkat(*target, dev, *name)?;
    }
    Ok(())
}

fn change_setting(file: &CStr, value: &CStr) -> Result<(), Errno> {
    let file = rustix::fs::open(file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, value.to_bytes()).map(|_| ())
}

/// Puts an empty read-only folder over a folder, and /dev/null over a file. A path that is not there needs none. One
/// empty folder serves all; `empty` is its first mount.
fn mask(path: &CStr, empty: &mut Option<OwnedFd>) -> Result<(), Errno> {
    let place = match open_plainly(path) {
        Ok(place) => place,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let copy = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let is_folder = FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode) == FileType::Directory;
    let cover = match empty {
        _ if !is_folder => rustix::mount::open_tree(CWD, c"/dev/null", copy)?,
        Some(first) => rustix::mount::open_tree(first.as_fd(), c"", copy | OpenTreeFlags::AT_EMPTY_PATH)?,
        None => empty_folder()?,
    };
    rustix::mount::move_mount(
        cover.as_fd(),
        c"",
        place.as_fd(),
        c"",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )?;
    if is_folder && empty.is_none() {
        *empty = Some(cover);
    }
    Ok(())
}

fn empty_folder() -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(context.as_fd(), c"size", c"0")?;
    rustix::mount::fsconfig_set_string(context.as_fd(), c"nr_inodes", c"2")?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = HARMLESS | MountAttrFlags::MOUNT_ATTR_RDONLY;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn make_read_only(path: &CStr) -> Result<(), Errno> {
    let place = match open_plainly(path) {
        Ok(place) => place,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let copy = rustix::mount::open_tree(place.as_fd(), c"", flags)?;
    let attributes = (HARMLESS | MountAttrFlags::MOUNT_ATTR_RDONLY).bits();
    sys::change_mount_attributes(copy.as_fd(), u64::from(attributes), 0, true)?;
    rustix::mount::move_mount(
        copy.as_fd(),
        c"",
        place.as_fd(),
        c"",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
}

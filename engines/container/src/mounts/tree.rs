//! The mount tree of a container, made by its first process inside its own mount namespace.
//!
//! Everything runs between clone and the init loop: raw calls on prepared data, nothing is allocated. All
//! mounts are made after the change of the root, and mount points are opened without following links, so that
//! nothing an image contains can lead outside.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::{MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags},
};

use crate::{
    confinement::{DEVICE_LINKS, DEVICES},
    device,
    launch::Materials,
    mounts::{detached, extra},
    report::Step,
    sys,
};

/// What is mounted, prepared before the clone.
pub struct MountPlan<'a> {
    /// What was opened when the container was created.
    pub materials: &'a Materials,
    /// Whether the group of terminals is anybody.
    pub has_tty_group: bool,
    /// Whether nothing can be written to the root file system.
    pub root_is_read_only: bool,
    /// Hidden paths.
    pub masked: Vec<CString>,
    /// Read-only paths.
    pub read_only: Vec<CString>,
    /// Files below /proc/sys, and what is written to them.
    pub settings: Vec<(CString, CString)>,
}

/// The group tty of every distribution, by number and as an option of a mount.
pub const TTY_GROUP: u32 = 5;
const TTY_GROUP_OPTION: &CStr = c"5";

type Failed = (Step, Errno);

/// Attributes of file systems that hold no programs of the container.
const HARMLESS: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Makes the tree. The caller is in new mount, pid, network and ipc namespaces.
pub fn make(plan: &MountPlan<'_>) -> Result<(), Failed> {
    // Before the host's are out of sight: in a user namespace the kernel makes these only for who sees all of them.
    let proc = new_mount(Step::Proc, c"proc", &[], HARMLESS)?;
    let sys = new_mount(Step::Sys, c"sysfs", &[], HARMLESS | MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    change_root(plan)?;
    attach(Step::Proc, proc, c"proc", 0o555)?;
    attach(Step::Sys, sys, c"sys", 0o555)?;
    let nosuid = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let dev = new_mount(Step::Dev, c"tmpfs", &[(c"mode", c"755"), (c"size", c"65536k")], nosuid)?;
    attach(Step::Dev, dev, c"dev", 0o755)?;
    make_devices(plan).map_err(|errno| (Step::DevNodes, errno))?;
    let console =
        [(c"newinstance", c""), (c"ptmxmode", c"0666"), (c"mode", c"0620"), (c"gid", TTY_GROUP_OPTION)];
    let count = if plan.has_tty_group { console.len() } else { console.len() - 1 };
    attach(Step::DevPts, new_mount(Step::DevPts, c"devpts", &console[..count], nosuid)?, c"dev/pts", 0o755)?;
    let shared = [(c"mode", c"1777"), (c"size", c"65536k")];
    attach(Step::DevShm, new_mount(Step::DevShm, c"tmpfs", &shared, HARMLESS)?, c"dev/shm", 0o755)?;
    attach(Step::DevMqueue, new_mount(Step::DevMqueue, c"mqueue", &[], HARMLESS)?, c"dev/mqueue", 0o755)?;
    extra::attach(&plan.materials.mounts).map_err(|errno| (Step::Map, errno))?;
    if plan.root_is_read_only {
        // Not before: the places of the mounts are made in it where they are missing.
        let attribute = u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits());
        sys::change_mount_attributes(plan.materials.root.as_fd(), attribute, 0, false)
            .map_err(|errno| (Step::ReadOnly, errno))?;
    }
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
            // Over the host's root for a moment: no other way needs to be walked, which a user without rights could not.
            c"/",
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

/// Makes a new file system, which is nowhere yet.
fn new_mount(
    step: Step,
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Failed> {
    detached::make(kind, options.iter().copied(), attributes).map_err(|errno| (step, errno))
}

/// Mounts it at a folder below the root, which is made if it is missing.
fn attach(step: Step, made: OwnedFd, folder: &CStr, mode: u32) -> Result<(), Failed> {
    let attach = || {
        let place = match open_plainly(folder) {
            Err(Errno::NOENT) => {
                rustix::fs::mkdir(folder, Mode::from_raw_mode(mode))?;
                open_plainly(folder)?
            }
            opened => opened?,
        };
        detached::attach(made, place)
    };
    attach().map_err(|errno| (step, errno))
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

/// Fills the container's /dev. The order matters: an assigned device takes the place of nothing.
fn make_devices(plan: &MountPlan<'_>) -> Result<(), Errno> {
    let Materials { devices, nodes, .. } = plan.materials;
    let dev = open_plainly(c"dev")?;
    if nodes.is_empty() {
        for node in DEVICES {
            let number = rustix::fs::makedev(node.major, node.minor);
            let mode = Mode::from_raw_mode(0o666);
            rustix::fs::mknodat(&dev, node.name, FileType::CharacterDevice, mode, number)?;
        }
        devices.iter().try_for_each(device::Found::make)?;
    } else {
        devices.iter().try_for_each(device::Found::make_folders)?;
        nodes.iter().try_for_each(device::Node::attach)?;
    }
    for (name, target) in DEVICE_LINKS {
        rustix::fs::symlinkat(*target, &dev, *name)?;
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
    detached::attach(&cover, place)?;
    if is_folder && empty.is_none() {
        *empty = Some(cover);
    }
    Ok(())
}

fn empty_folder() -> Result<OwnedFd, Errno> {
    let options = [(c"size", c"0"), (c"nr_inodes", c"2")];
    detached::make(c"tmpfs", options, HARMLESS | MountAttrFlags::MOUNT_ATTR_RDONLY)
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
    detached::attach(copy, place)
}

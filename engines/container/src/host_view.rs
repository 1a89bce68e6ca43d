//! What a program of the host sees of the host: its own files and those that every program needs, all of them read only,
//! and nothing else. It has processes, networks and memory segments of its own, which are none.
//!
//! The parent opens what is to be seen; the child, which shares its memory and may not allocate, puts it together.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use hcs_core::Error;
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags},
    io::Errno,
    mount::{MountAttrFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags},
};

use crate::{mounts::detached, sys};

/// What a program is born with beside, as flags of clone3.
pub const NAMESPACES: u64 =
    (libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC) as u64;

/// Where the loader of programs and the C library look, if it is there.
const EVERYBODYS: &[&str] = &[
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/null",
    "/dev/urandom",
];

/// Over the host's root, for a moment.
const PLACE: &CStr = c"/";

/// Something that is to be seen.
#[derive(Debug)]
enum Seen {
    /// A folder, or a file: a mount that is nowhere yet.
    Mount { at: CString, mount: OwnedFd, is_folder: bool },
    /// A link.
    Link { at: CString, to: CString },
}

/// What is to be seen, opened.
#[derive(Debug)]
pub struct View {
    /// The folders above, the outermost first.
    folders: Vec<CString>,
    /// A folder that is to be filled later.
    open: Option<CString>,
    seen: Vec<Seen>,
}

impl View {
    /// Opens what every program needs, and these folders.
    pub fn open(more: &[PathBuf]) -> Result<View, Error> {
        View::of(EVERYBODYS.iter().map(PathBuf::from).chain(more.iter().cloned()))
    }

    /// Opens what a program needs that is linked statically, which is nothing but what is nowhere.
    pub fn bare() -> Result<View, Error> {
        View::of([PathBuf::from("/dev/null")])
    }

    fn of(paths: impl IntoIterator<Item = PathBuf>) -> Result<View, Error> {
        let mut view = View { folders: vec![c"proc".to_owned()], open: None, seen: Vec::new() };
        for path in paths {
            view.add(&path).map_err(|errno| {
                Error::from_errno(errno.raw_os_error(), format!("opening {} for a program", path.display()))
            })?;
        }
        Ok(view)
    }

    /// The same with a folder of the host, at another place and as writable as it is.
    pub fn with_folder(mut self, folder: &Path, place: &str) -> Result<View, Error> {
        let doing = || format!("opening {} for a program", folder.display());
        let open = || -> Result<Seen, Errno> {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let mount = rustix::mount::open_tree(CWD, folder, flags)?;
            let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NODEV
                | MountAttrFlags::MOUNT_ATTR_NOEXEC;
            sys::change_mount_attributes(mount.as_fd(), u64::from(attributes.bits()), 0, false)?;
            Ok(Seen::Mount { at: inside(Path::new(place))?, mount, is_folder: true })
        };
        self.seen.push(open().map_err(|errno| Error::from_errno(errno.raw_os_error(), doing()))?);
        Ok(self)
    }

    /// The same with an empty folder, in which something may be mounted later.
    pub fn with_open_folder(mut self, folder: &str) -> Result<View, Error> {
        let folder = inside(Path::new(folder));
        let folder = folder.map_err(|errno| Error::from_errno(errno.raw_os_error(), "naming a folder"))?;
        self.folders.push(folder.clone());
        self.open = Some(folder);
        Ok(self)
    }

    fn add(&mut self, path: &Path) -> Result<(), Errno> {
        let about = match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => about,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let at = inside(path)?;
        if self.has(path) {
            return Ok(());
        }
        self.add_folders_above(path)?;
        // A link to a file shows the file, wherever that is.
        let is_link = FileType::from_raw_mode(about.st_mode) == FileType::Symlink;
        let is_folder = rustix::fs::stat(path).map(|about| FileType::from_raw_mode(about.st_mode))?
            == FileType::Directory;
        if is_link && is_folder {
            let to = rustix::fs::readlinkat(CWD, path, Vec::new())?;
            self.seen.push(Seen::Link { at, to });
            return Ok(());
        }
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let mount = rustix::mount::open_tree(CWD, path, flags)?;
        let mut attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID;
        if !path.starts_with("/dev") {
            attributes |= MountAttrFlags::MOUNT_ATTR_NODEV;
        }
        sys::change_mount_attributes(mount.as_fd(), u64::from(attributes.bits()), 0, true)?;
        self.seen.push(Seen::Mount { at, mount, is_folder });
        Ok(())
    }

    /// Whether this is below what is seen already.
    fn has(&self, path: &Path) -> bool {
        self.seen.iter().any(|seen| match seen {
            Seen::Mount { at, is_folder: true, .. } => path
                .strip_prefix("/")
                .is_ok_and(|path| path.starts_with(std::ffi::OsStr::from_bytes(at.to_bytes()))),
            _ => false,
        })
    }

    fn add_folders_above(&mut self, path: &Path) -> Result<(), Errno> {
        let above: Vec<&Path> = path.ancestors().skip(1).filter(|path| path.parent().is_some()).collect();
        for folder in above.into_iter().rev() {
            let folder = inside(folder)?;
            if !self.folders.contains(&folder) {
                self.folders.push(folder);
            }
        }
        Ok(())
    }

    /// In a child with [`NAMESPACES`] of its own: makes this all that there is.
    pub(crate) fn enter(&self) -> Result<(), Errno> {
        let propagation = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change(c"/", propagation)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let root = detached::make(c"tmpfs", [(c"mode", c"755"), (c"size", c"64k")], attributes)?;
        detached::attach(&root, rustix::fs::open(PLACE, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)?;
        let folder = Mode::from_raw_mode(0o755);
        for path in &self.folders {
            rustix::fs::mkdirat(&root, path, folder)?;
        }
        for seen in &self.seen {
            match seen {
                Seen::Link { at, to } => rustix::fs::symlinkat(to, &root, at)?,
                Seen::Mount { at, mount, is_folder } => {
                    if *is_folder {
                        rustix::fs::mkdirat(&root, at, folder)?;
                    } else {
                        let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC;
                        drop(rustix::fs::openat(&root, at, flags, Mode::from_raw_mode(0o444))?);
                    }
                    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    detached::attach(mount, rustix::fs::openat(&root, at, flags, Mode::empty())?)?;
                }
            }
        }
        let attributes = attributes | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        if let Some(folder) = &self.open {
            let empty = detached::make(c"tmpfs", [(c"mode", c"755"), (c"size", c"1m")], attributes)?;
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            detached::attach(empty, rustix::fs::openat(&root, folder, flags, Mode::empty())?)?;
        }
        let processes = detached::make(c"proc", [], attributes)?;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        detached::attach(processes, rustix::fs::openat(&root, c"proc", flags, Mode::empty())?)?;
        rustix::process::fchdir(&root)?;
        rustix::process::pivot_root(c".", c".")?;
        rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
        rustix::process::chdir(c"/")?;
        let attributes = u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits());
        sys::change_mount_attributes(root.as_fd(), attributes, 0, false)
    }
}

/// A path as it is named below the root.
fn inside(path: &Path) -> Result<CString, Errno> {
    let plain: PathBuf = path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    CString::new(plain.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)
}

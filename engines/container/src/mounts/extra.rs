//! Mounts that a document asks for beside those of every container.
//!
//! They come from MappedDirectories and MappedPipes ([`crate::mounts::mapping`]) and from an OCI specification
//! ([`crate::oci::mounts`]). Sources on the host are opened by the worker when the container is created, as detached
//! copies of the host's mounts with their attributes set. The container's first process attaches them, after the
//! change of the root; a mount that is added later is attached by a child that has entered the container. Both make
//! raw calls on prepared data. Links of the image are followed below its root, but never those of /proc, which lead
//! out of it.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::{MountAttrFlags, OpenTreeFlags},
};
use serde::{Deserialize, Serialize};

use crate::{
    cgroup::Layout,
    launch::c_string,
    mounts::{dangling, detached},
    sys,
};

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraMount {
    /// Where in the container.
    pub destination: String,
    /// What.
    pub source: Source,
    /// Attributes that are set, as the kernel has them.
    pub attributes: u64,
    /// Attributes that are cleared.
    pub cleared: u64,
    /// Whether mounts below a bound folder get the attributes, too.
    pub recursive: bool,
    /// The member of the document that names the source.
    pub blame: String,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A file or folder of the host.
    Bind {
        /// Its path.
        path: String,
        /// Whether what is mounted below it comes along.
        recursive: bool,
        /// What it has to be, where that matters.
        wanted: Option<Kind>,
    },
    /// A new file system.
    FileSystem {
        /// Its kind.
        kind: String,
        /// Its options; those without a value are flags.
        options: Vec<(String, String)>,
    },
    /// The container's own cgroups.
    Cgroups,
}

/// What can be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A folder with everything in it.
    Directory,
    /// A socket.
    Socket,
}

/// A mount with everything that the child needs for it.
pub struct Prepared {
    place: Place,
    what: What,
}

enum What {
    /// A detached mount.
    Ready(OwnedFd),
    /// A file with this text, which is on no disk.
    Text(Vec<u8>),
    /// What has been mounted there before becomes read-only.
    ReadOnly,
    New {
        kind: CString,
        options: Vec<(CString, CString)>,
        attributes: MountAttrFlags,
    },
}

impl Prepared {
    /// Where in the container, as the document says.
    pub fn destination(&self) -> &str {
        &self.place.destination
    }

    /// The detached mount, if it is there before the container.
    pub fn tree(&self) -> Option<BorrowedFd<'_>> {
        match &self.what {
            What::Ready(tree) => Some(tree.as_fd()),
            What::New { .. } | What::Text(_) | What::ReadOnly => None,
        }
    }
}

/// Where something is mounted, and what is made when it is missing.
pub struct Place {
    destination: String,
    path: CString,
    /// Each folder on the way: where it is, and its name.
    steps: Vec<(CString, CString)>,
    is_folder: bool,
}

impl Place {
    /// Prepares a place.
    pub fn new(path: &str, is_folder: bool) -> Result<Place, Error> {
        let mut steps = Vec::new();
        let mut parent = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let above = if parent.is_empty() { "." } else { parent.as_str() };
            steps.push((c_string(above)?, c_string(name)?));
            parent = if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
        }
        let below_root = c_string(if parent.is_empty() { "." } else { &parent })?;
        Ok(Place { destination: path.to_owned(), path: below_root, steps, is_folder })
    }

    /// Opens what is there.
    pub fn find(&self) -> Result<OwnedFd, Errno> {
        open_inside(self.path.as_c_str())
    }

    /// Opens the place, which is made if it is missing.
    fn open(&self) -> Result<OwnedFd, Errno> {
        match self.find() {
            Err(Errno::NOENT) => {}
            opened => return opened,
        }
        for (index, (parent, name)) in self.steps.iter().enumerate() {
            let parent = open_inside(parent.as_c_str())?;
            let made = if self.is_folder || index + 1 < self.steps.len() {
                rustix::fs::mkdirat(&parent, name.as_c_str(), Mode::from_raw_mode(0o755))
            } else {
                let mode = Mode::from_raw_mode(0o644);
                rustix::fs::mknodat(&parent, name.as_c_str(), FileType::RegularFile, mode, 0)
            };
            match made {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        match self.find() {
            // It is a link to what is missing, as an image has one whose names are found by a program that does not run yet.
            Err(Errno::NOENT) => {
                dangling::make_behind(self.path.to_bytes(), self.is_folder)?;
                self.find()
            }
            opened => opened,
        }
    }
}

/// A file with a text, over the one at this place.
pub fn text(destination: &str, text: String) -> Result<Prepared, Error> {
    Ok(Prepared { place: Place::new(destination, false)?, what: What::Text(text.into_bytes()) })
}

/// Opens something below the root of the container, which is the working directory.
pub(super) fn open_inside(path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), inside)
}

/// Opens the sources. Runs in the worker.
pub fn prepare(mounts: &[ExtraMount]) -> Result<Vec<Prepared>, Error> {
    let mut prepared = Vec::with_capacity(mounts.len());
    for mount in mounts {
        match &mount.source {
            Source::Bind { path, recursive, wanted } => {
                prepared.push(prepare_bind(mount, path, *recursive, *wanted)?);
            }
            Source::FileSystem { kind, options } => {
                let flags = MountAttrFlags::from_bits_retain(mount.attributes as u32);
                prepared.push(new_file_system(&mount.destination, kind, options, flags)?);
            }
            Source::Cgroups => prepared.extend(prepare_cgroups(mount)?),
        }
    }
    Ok(prepared)
}

fn prepare_bind(
    mount: &ExtraMount,
    path: &str,
    recursive: bool,
    wanted: Option<Kind>,
) -> Result<Prepared, Error> {
    let open = || -> Result<(OwnedFd, FileType), Errno> {
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        if recursive {
            flags |= OpenTreeFlags::AT_RECURSIVE;
        }
        let tree = rustix::mount::open_tree(CWD, path, flags)?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&tree)?.st_mode);
        sys::change_mount_attributes(tree.as_fd(), mount.attributes, mount.cleared, mount.recursive)?;
        Ok((tree, kind))
    };
    let (tree, kind) = open().map_err(|errno| {
        Error::from_errno(errno.raw_os_error(), format!("opening {path:?}")).at(&mount.blame)
    })?;
    let wanted = wanted.map(|wanted| match wanted {
        Kind::Directory => FileType::Directory,
        Kind::Socket => FileType::Socket,
    });
    if let Some(wanted) = wanted.filter(|wanted| *wanted != kind) {
        let detail = format!("{path:?} is a {kind:?}, expected a {wanted:?}");
        return Err(Error::new(Cause::InvalidData, detail).at(&mount.blame));
    }
    Ok(Prepared {
        place: Place::new(&mount.destination, kind == FileType::Directory)?,
        what: What::Ready(tree),
    })
}

fn new_file_system(
    destination: &str,
    kind: &str,
    options: &[(String, String)],
    attributes: MountAttrFlags,
) -> Result<Prepared, Error> {
    let options = options.iter().map(|(name, value)| Ok((c_string(name)?, c_string(value)?)));
    Ok(Prepared {
        place: Place::new(destination, true)?,
        what: What::New {
            kind: c_string(kind)?,
            options: options.collect::<Result<_, Error>>()?,
            attributes,
        },
    })
}

/// The container's group in each hierarchy, read-only. The cgroup namespace makes it the root of what is seen.
fn prepare_cgroups(mount: &ExtraMount) -> Result<Vec<Prepared>, Error> {
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let at = &mount.destination;
    let Layout::V1 { mounts } = Layout::of_this_host()? else {
        return Ok(vec![new_file_system(at, "cgroup2", &[], attributes)?]);
    };
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // Folders are made in it first.
    let size = [option("mode", "755"), option("size", "64k")];
    let folder = attributes.difference(MountAttrFlags::MOUNT_ATTR_RDONLY);
    let mut prepared = vec![new_file_system(at, "tmpfs", &size, folder)?];
    let mut done = Vec::new();
    for path in mounts.values().filter(|path| !path.as_os_str().is_empty()) {
        if done.contains(&path) {
            continue;
        }
        done.push(path);
        let controllers: Vec<_> =
            mounts.iter().filter(|(_, other)| *other == path).map(|(name, _)| option(name, "")).collect();
        let names: Vec<&str> = controllers.iter().map(|one| one.0.as_str()).collect();
        let place = format!("{at}/{}", names.join(","));
        prepared.push(new_file_system(&place, "cgroup", &controllers, attributes)?);
    }
    prepared.push(Prepared { place: Place::new(at, true)?, what: What::ReadOnly });
    Ok(prepared)
}

/// Attaches the mounts in their order. Runs in a child whose root and working directory are the container's.
pub fn attach(mounts: &[Prepared]) -> Result<(), Errno> {
    for mount in mounts {
        match &mount.what {
            What::Ready(tree) => attach_at(tree, &mount.place)?,
            What::Text(text) => attach_text(text, &mount.place)?,
            What::ReadOnly => {
                let attribute = u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits());
                sys::change_mount_attributes(mount.place.find()?.as_fd(), attribute, 0, false)?;
            }
            What::New { kind, options, attributes } => {
                let options = options.iter().map(|(name, value)| (name.as_c_str(), value.as_c_str()));
                attach_at(detached::make(kind, options, *attributes)?, &mount.place)?;
            }
        }
    }
    Ok(())
}

/// Mounts a file that exists nowhere else: made in the container's /dev, which is in memory, and unlinked.
fn attach_text(text: &[u8], place: &Place) -> Result<(), Errno> {
    const NAME: &CStr = c"/dev/.hcs-text";
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::open(NAME, flags, Mode::from_raw_mode(0o644))?;
    let mut rest = text;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = &rest[written..];
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = rustix::mount::open_tree(CWD, NAME, flags)?;
    // A file without a name cannot be attached any more.
    attach_at(mount, place)?;
    rustix::fs::unlink(NAME)
}

fn attach_at(tree: impl AsFd, place: &Place) -> Result<(), Errno> {
    detached::attach(tree, place.open()?)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_place_that_is_a_link_to_nothing_is_made_where_it_leads_below_the_root() {
        let root = std::env::temp_dir().join(format!("hcs-place-{}", std::process::id()));
        fs::create_dir_all(root.join("etc")).unwrap();
        symlink("../run/resolve/stub.conf", root.join("etc/resolv.conf")).unwrap();
        symlink("/../../once/more", root.join("etc/again")).unwrap();
        symlink("../etc/again", root.join("etc/twice")).unwrap();
        symlink("round", root.join("etc/round")).unwrap();
        // Its own working directory, which is the root of the container where this runs.
        let inside = |path: &'static str| {
            let root = root.clone();
            let there = move || {
                sys::unshare(libc::CLONE_FS).unwrap();
                rustix::process::chdir(&root).unwrap();
                Place::new(path, false).unwrap().open().map(drop)
            };
            std::thread::spawn(there).join().unwrap()
        };
        assert_eq!(inside("/etc/resolv.conf"), Ok(()));
        assert_eq!(inside("/etc/twice"), Ok(()));
        assert_eq!(inside("/etc/round"), Err(Errno::LOOP));
        assert!(root.join("run/resolve/stub.conf").is_file() && root.join("once/more").is_file());
        fs::remove_dir_all(&root).unwrap();
    }
}

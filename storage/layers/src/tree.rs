//! Reads a layer from a folder: one in transport, with whiteouts by name, or one on the disk, with those of overlayfs.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::PathBuf,
};

use hcs_core::Error;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Stat, XattrFlags},
    io::Errno,
};

use crate::{
    entry::{self, Content, Entry, Kind, Meaning, Sink, Time},
    failure,
};

/// How deletions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletions {
    /// By the names of OCI layers.
    ByName,
    /// As overlayfs keeps them.
    ByOverlay,
}

/// The attributes in which overlayfs keeps its own things, with and without privileges.
const OVERLAY: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
/// The attribute of an opaque folder.
pub const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// Reads everything below a folder into a sink, in the order of names.
pub fn read(root: BorrowedFd<'_>, deletions: Deletions, sink: &mut dyn Sink) -> Result<(), Error> {
    let mut walk = Walk { deletions, sink, seen: HashMap::new() };
    walk.folder(root, Vec::new())
}

struct Walk<'a> {
    deletions: Deletions,
    sink: &'a mut dyn Sink,
    /// The first path of each file with more than one name, by device and number.
    seen: HashMap<(u64, u64), Vec<u8>>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: BorrowedFd<'_>, path: Vec<u8>) -> Result<(), Error> {
        let failed = |errno: Errno| failed(&path, errno);
        let about = rustix::fs::fstat(folder).map_err(failed)?;
        let (attributes, is_opaque) = attributes(folder, None, self.deletions).map_err(failed)?;
        let own = describe(path.clone(), Kind::Directory, &about, attributes);
        self.sink.take(&own, &mut io::empty())?;
        if is_opaque {
            self.sink.take(&Entry { kind: Kind::Opaque, attributes: Vec::new(), ..own }, &mut io::empty())?;
        }
        let mut names = Vec::new();
        for found in rustix::fs::Dir::read_from(folder).map_err(failed)? {
            let found = found.map_err(failed)?;
            let name = found.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(name.to_vec());
            }
        }
        names.sort();
        for name in names {
            self.child(folder, &name, entry::join(&path, &name))?;
        }
        Ok(())
    }

    fn child(&mut self, folder: BorrowedFd<'_>, name: &[u8], path: Vec<u8>) -> Result<(), Error> {
        let failed = |errno: Errno| failed(&path, errno);
        let about = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let kind = FileType::from_raw_mode(about.st_mode);
        if self.deletions == Deletions::ByName {
            let deletion = match entry::meaning(&path)? {
                Meaning::Itself => None,
                Meaning::Nothing => return Ok(()),
                Meaning::Deletes(path) => Some((path, Kind::Whiteout)),
                Meaning::Hides(path) => Some((path, Kind::Opaque)),
            };
            if let Some((path, kind)) = deletion {
                return self.sink.take(&describe(path, kind, &about, Vec::new()), &mut io::empty());
            }
        }
        if kind == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let inner = rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(failed)?;
            return self.folder(std::os::fd::AsFd::as_fd(&inner), path);
        }
        if about.st_nlink > 1 {
            let identity = (about.st_dev, about.st_ino);
            if let Some(first) = self.seen.get(&identity) {
                let link = describe(path, Kind::HardLink(first.clone()), &about, Vec::new());
                return self.sink.take(&link, &mut io::empty());
            }
            self.seen.insert(identity, path.clone());
        }
        let (attributes, _) = attributes(folder, Some(name), self.deletions).map_err(failed)?;
        let (major, minor) = (rustix::fs::major(about.st_rdev), rustix::fs::minor(about.st_rdev));
        let kind = match kind {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(failed)?;
                let size = about.st_size as u64;
                let entry = describe(path, Kind::File(size), &about, attributes);
                return self.sink.take(&entry, &mut Sparse { file: File::from(file), at: 0, size });
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(folder, name, Vec::new()).map_err(failed)?;
                Kind::Symlink(target.into_bytes())
            }
            FileType::CharacterDevice
                if self.deletions == Deletions::ByOverlay && (major, minor) == (0, 0) =>
            {
                Kind::Whiteout
            }
            FileType::CharacterDevice => Kind::Character(major, minor),
            FileType::BlockDevice => Kind::Block(major, minor),
            FileType::Fifo => Kind::Fifo,
            // A socket is of whoever listens; no archive has it.
            _ => return Ok(()),
        };
        self.sink.take(&describe(path, kind, &about, attributes), &mut io::empty())
    }
}

fn failed(path: &[u8], errno: Errno) -> Error {
    Error::from_errno(errno.raw_os_error(), format!("reading {:?} of the layer", failure::name(path)))
}

fn describe(path: Vec<u8>, kind: Kind, about: &Stat, attributes: Vec<(Vec<u8>, Vec<u8>)>) -> Entry {
    let changed = Time { seconds: about.st_mtime, nanoseconds: about.st_mtime_nsec as u32 };
    Entry {
        path,
        kind,
        mode: about.st_mode & 0o7777,
        uid: about.st_uid,
        gid: about.st_gid,
        changed,
        attributes,
    }
}

/// Names and values.
type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// The attributes of a name in a folder, or of the folder itself, without those of overlayfs; and whether the folder is
/// opaque.
fn attributes(
    folder: BorrowedFd<'_>,
    name: Option<&[u8]>,
    deletions: Deletions,
) -> Result<(Attributes, bool), Errno> {
    // There is no call that takes a folder and a name, so the way is by the descriptor's own name.
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    path.push(name.map_or(OsStr::new("."), OsStr::from_bytes));
    let mut list = vec![0u8; 1 << 16];
    let length = match rustix::fs::llistxattr(&path, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok((Vec::new(), false)),
        Err(errno) => return Err(errno),
    };
    let (mut found, mut is_opaque) = (Vec::new(), false);
    let mut value = Vec::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let is_overlay = OVERLAY.iter().any(|prefix| name.starts_with(prefix));
        if is_overlay && deletions == Deletions::ByOverlay {
            is_opaque |= name == OPAQUE;
            continue;
        }
        value.resize(1 << 16, 0);
        let length = rustix::fs::lgetxattr(&path, name, &mut value[..])?;
        found.push((name.to_vec(), value[..length].to_vec()));
    }
    found.sort();
    Ok((found, is_opaque))
}

/// Gives a name in a folder an attribute, or the folder itself.
pub fn set_attribute(
    folder: BorrowedFd<'_>,
    name: Option<&[u8]>,
    attribute: &[u8],
    value: &[u8],
) -> Result<(), Errno> {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    path.push(name.map_or(OsStr::new("."), OsStr::from_bytes));
    rustix::fs::lsetxattr(&path, attribute, value, XattrFlags::empty())
}

/// A file with its holes.
struct Sparse {
    file: File,
    at: u64,
    size: u64,
}

impl Read for Sparse {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.at += length as u64;
        Ok(length)
    }
}

impl Content for Sparse {
    fn hole(&mut self) -> io::Result<u64> {
        let data = match rustix::fs::seek(&self.file, SeekFrom::Data(self.at)) {
            Ok(data) => data,
            // No more data: the rest is a hole.
            Err(Errno::NXIO) => self.size,
            Err(_) => self.at,
        };
        rustix::fs::seek(&self.file, SeekFrom::Start(data))?;
        let hole = data.saturating_sub(self.at);
        self.at = data;
        Ok(hole)
    }
}

/// The folder of an open descriptor, opened again so that it can be read.
pub fn open(folder: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

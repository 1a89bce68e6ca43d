//! Writes entries as the files of a layer on the disk.
//!
//! Every name is resolved below the layer's root, with links that the layer itself has made; none leads out. A name is
//! written once: what comes a second time is refused, because which of both was meant cannot be known.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, SeekFrom, Uid},
    io::Errno,
};

use crate::{
    ahead,
    dresser::{self, Dresser},
    entry::{self, Content, Entry, Kind, Sink},
    failure, tree,
};

/// Zeros of this length become a hole.
const BLOCK: usize = 4096;

/// Takes entries.
pub struct Unpacker<'a> {
    places: Places<'a>,
    /// What is said of folders, which holds when all is in them.
    folders: Vec<Entry>,
    files: Dresser,
    buffer: Vec<u8>,
}

/// Where entries go.
struct Places<'a> {
    root: BorrowedFd<'a>,
    /// The folder of the entry before, because most come folder by folder.
    last: Option<(Vec<u8>, OwnedFd)>,
}

impl<'a> Unpacker<'a> {
    /// Writes below this folder.
    pub fn new(root: BorrowedFd<'a>) -> Result<Unpacker<'a>, Error> {
        let places = Places { root, last: None };
        Ok(Unpacker { places, folders: Vec::new(), files: Dresser::begin()?, buffer: vec![0; 64 * BLOCK] })
    }

    /// Says of all folders what is to hold at the end.
    pub fn finish(self) -> Result<(), Error> {
        self.files.finish()?;
        // The innermost first: a folder that nobody may enter is entered no more.
        for entry in self.folders.iter().rev() {
            let failed = |errno: Errno| failed(&entry.path, errno);
            let (folder, name) = entry::split(&entry.path);
            let parent = open_folder(self.places.root, folder).map_err(failed)?;
            let name = if name.is_empty() { b"." } else { name };
            // Never what a link that has taken its place leads to.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(failed)?;
            dresser::dress(folder.as_fd(), entry).map_err(failed)?;
        }
        Ok(())
    }
}

impl Places<'_> {
    /// The folder of a path, made if it is missing: archives may leave out what is as usual.
    fn folder(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, Error> {
        let is_last = self.last.as_ref().is_some_and(|(last, _)| last == path);
        if !is_last {
            let found = match open_folder(self.root, path) {
                Err(Errno::NOENT) => self.make_folders(path),
                found => found,
            };
            self.last = Some((path.to_vec(), found.map_err(|errno| failed(path, errno))?));
        }
        Ok(self.last.as_ref().map_or(self.root, |(_, folder)| folder.as_fd()))
    }

    fn make_folders(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let mut at = open_folder(self.root, b"")?;
        let mut so_far = Vec::new();
        for part in path.split(|byte| *byte == b'/') {
            match rustix::fs::mkdirat(&at, part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            so_far = entry::join(&so_far, part);
            at = open_folder(self.root, &so_far)?;
        }
        Ok(at)
    }
}

impl Sink for Unpacker<'_> {
    fn take(&mut self, entry: &Entry, content: &mut dyn Content) -> Result<(), Error> {
        let failed = |errno: Errno| failed(&entry.path, errno);
        let (path, name) = entry::split(&entry.path);
        if name.is_empty() && !matches!(entry.kind, Kind::Directory | Kind::Opaque) {
            return Err(failure::invalid("the root of a layer is a folder"));
        }
        let root = self.places.root;
        let folder = self.places.folder(path)?;
        let node = |kind, major, minor| make_node(folder, name, kind, major, minor).map_err(failed);
        match &entry.kind {
            Kind::Directory => {
                make_folder(folder, name).map_err(failed)?;
                self.folders.push(entry.clone());
                return Ok(());
            }
            Kind::Opaque => {
                make_folder(folder, name).map_err(failed)?;
                let name = (!name.is_empty()).then_some(name);
                return tree::set_attribute(folder, name, tree::OPAQUE, b"y").map_err(failed);
            }
            Kind::HardLink(target) => {
                let (of_target, target) = entry::split(target);
                let of_target = open_folder(root, of_target).map_err(failed)?;
                return rustix::fs::linkat(of_target, target, folder, name, AtFlags::empty()).map_err(failed);
            }
            Kind::Whiteout => return node(FileType::CharacterDevice, 0, 0),
            Kind::File(size) => {
                let written = write_file(folder, name, *size, content, &mut self.buffer);
                let doing = || format!("writing {:?}", failure::name(&entry.path));
                let file = written.map_err(|error| Error::from_io(&error, doing()))?;
                return match self.files.take(file, entry) {
                    true => Ok(()),
                    // Why is said at the end.
                    false => Err(Error::new(Cause::Cancelled, "a file before has failed")),
                };
            }
            Kind::Symlink(target) => rustix::fs::symlinkat(&target[..], folder, name).map_err(failed)?,
            Kind::Character(major, minor) => node(FileType::CharacterDevice, *major, *minor)?,
            Kind::Block(major, minor) => node(FileType::BlockDevice, *major, *minor)?,
            Kind::Fifo => node(FileType::Fifo, 0, 0)?,
        }
        dress(folder, name, entry).map_err(failed)
    }
}

pub(crate) fn failed(path: &[u8], errno: Errno) -> Error {
    if errno == Errno::EXIST {
        return failure::invalid(format!("{:?} comes twice", failure::name(path)));
    }
    Error::from_errno(errno.raw_os_error(), format!("writing {:?} of the layer", failure::name(path)))
}

fn open_folder(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// A folder may come again, to say more of it; but not where something else is.
fn make_folder(folder: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    if name.is_empty() {
        return Ok(());
    }
    match rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o700)) {
        Err(Errno::EXIST) => {
            let there = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_folder = FileType::from_raw_mode(there.st_mode) == FileType::Directory;
            if is_folder { Ok(()) } else { Err(Errno::EXIST) }
        }
        made => made,
    }
}

fn make_node(
    folder: BorrowedFd<'_>,
    name: &[u8],
    kind: FileType,
    major: u32,
    minor: u32,
) -> Result<(), Errno> {
    rustix::fs::mknodat(folder, name, kind, Mode::from_raw_mode(0o600), rustix::fs::makedev(major, minor))
}

fn write_file(
    folder: BorrowedFd<'_>,
    name: &[u8],
    size: u64,
    content: &mut dyn Content,
    buffer: &mut [u8],
) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600))?);
    let (mut at, mut written) = (0u64, 0u64);
    loop {
        at += content.hole()?;
        // Whole blocks, so that those of zeros are seen wherever the source's pieces end.
        let length = ahead::fill(content, buffer)?;
        if length == 0 {
            break;
        }
        for (start, end) in runs(&buffer[..length]) {
            if written != at + start as u64 {
                rustix::fs::seek(&file, SeekFrom::Start(at + start as u64))?;
            }
            file.write_all(&buffer[start..end])?;
            written = at + end as u64;
        }
        at += length as u64;
    }
    if at != size {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("found {at} bytes of {size}")));
    }
    if written != size {
        rustix::fs::ftruncate(&file, size)?;
    }
    Ok(file)
}

/// Where blocks are that are not all zero: start and end, neighbours together.
fn runs(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (index, block) in bytes.chunks(BLOCK).enumerate() {
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        let (start, end) = (index * BLOCK, index * BLOCK + block.len());
        match runs.last_mut().filter(|last| last.1 == start) {
            Some(last) => last.1 = end,
            None => runs.push((start, end)),
        }
    }
    runs
}

/// Owner, mode, attributes and time of what cannot be opened (a link, a node), in the order in which none undoes another.
fn dress(folder: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<(), Errno> {
    let no_link = AtFlags::SYMLINK_NOFOLLOW;
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::chownat(folder, name, Some(uid), Some(gid), no_link)?;
    if !matches!(entry.kind, Kind::Symlink(_)) {
        rustix::fs::chmodat(folder, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    for (attribute, value) in &entry.attributes {
        tree::set_attribute(folder, Some(name), attribute, value)?;
    }
    rustix::fs::utimensat(folder, name, &dresser::times(entry.changed), no_link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_zeros_are_holes_between_runs() {
        let mut bytes = vec![0; 5 * BLOCK + 10];
        assert_eq!(runs(&bytes), []);
        bytes[1] = 1;
        bytes[BLOCK] = 1;
        bytes[3 * BLOCK] = 1;
        bytes[5 * BLOCK + 9] = 1;
        let expected = [(0, 2 * BLOCK), (3 * BLOCK, 4 * BLOCK), (5 * BLOCK, 5 * BLOCK + 10)];
        assert_eq!(runs(&bytes), expected);
    }
}

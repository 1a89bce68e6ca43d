//! Makes what a link of an image leads to and is missing, so that something can be mounted there. Links lead below the root of
//! the container wherever they point.
//!
//! Runs in a child between clone3 and execve, whose working directory is that root, so nothing is allocated.

use rustix::{
    fs::{FileType, Mode},
    io::Errno,
};

use super::extra::open_inside;

/// The longest path that a link leads to: a longer one would be allocated on its way to the kernel.
const LONGEST: usize = 255;
/// The most links, one behind the other.
const LINKS: usize = 40;

/// A path that is put together in place.
struct Short {
    bytes: [u8; LONGEST],
    length: usize,
}

/// Makes what is behind this link, and the folders on the way to it.
pub fn make_behind(link: &[u8], is_folder: bool) -> Result<(), Errno> {
    let mut path = Short::new(link)?;
    for _ in 0..LINKS {
        path = path.behind()?;
        match make(path.as_bytes(), is_folder) {
            // It is a link again.
            Err(Errno::EXIST) => {}
            made => return made,
        }
    }
    Err(Errno::LOOP)
}

fn make(path: &[u8], is_folder: bool) -> Result<(), Errno> {
    let ends = path.iter().enumerate().filter(|(at, byte)| **byte == b'/' && *at > 0);
    for (end, _) in ends {
        if matches!(open_inside(&path[..end]), Err(Errno::NOENT)) {
            make_one(&path[..end], true)?;
        }
    }
    make_one(path, is_folder)
}

fn make_one(path: &[u8], is_folder: bool) -> Result<(), Errno> {
    let (parent, name) = split(path);
    let parent = open_inside(parent)?;
    match is_folder {
        true => rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)),
        false => rustix::fs::mknodat(parent, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0),
    }
}

/// The folder that a path is in, and its name there.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        None => (b".", path),
        Some(0) => (b"/", &path[1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
    }
}

impl Short {
    fn new(path: &[u8]) -> Result<Short, Errno> {
        let mut short = Short { bytes: [0; LONGEST], length: 0 };
        short.push(path)?;
        Ok(short)
    }

    fn push(&mut self, more: &[u8]) -> Result<(), Errno> {
        let room = self.bytes.get_mut(self.length..self.length + more.len()).ok_or(Errno::NAMETOOLONG)?;
        room.copy_from_slice(more);
        self.length += more.len();
        Ok(())
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// What this link leads to.
    fn behind(&self) -> Result<Short, Errno> {
        let (parent, name) = split(self.as_bytes());
        let mut buffer = [0; LONGEST + 1];
        let length = rustix::fs::readlinkat_raw(open_inside(parent)?, name, &mut buffer)?;
        let target = &buffer[..length];
        if target.starts_with(b"/") {
            return Short::new(target);
        }
        let mut path = Short::new(parent)?;
        path.push(b"/")?;
        path.push(target)?;
        Ok(path)
    }
}

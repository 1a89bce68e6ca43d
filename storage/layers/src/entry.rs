//! One thing in a layer, in the words of no format.

use std::io::{self, Read};

use hcs_core::Error;

use crate::failure;

/// A file, a folder, a link, a device, or a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is, from the layer's root, without leading or trailing slash; empty for the root itself.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The twelve bits of its mode.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When it was changed.
    pub changed: Time,
    /// Its extended attributes, sorted by name.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// May be negative.
    pub seconds: i64,
    /// Always below a second.
    pub nanoseconds: u32,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Directory,
    /// A file of this many bytes, which come beside the entry.
    File(u64),
    /// A symbolic link to whatever this means where it is followed.
    Symlink(Vec<u8>),
    /// Another name of an entry that came before.
    HardLink(Vec<u8>),
    /// A character device.
    Character(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
    /// What the layers below have here is deleted.
    Whiteout,
    /// What the layers below have in this folder is deleted.
    Opaque,
}

/// Who takes entries, each with the bytes of its file.
pub trait Sink {
    /// Takes one. `content` must be read to its end for a file, and gives nothing for anything else.
    fn take(&mut self, entry: &Entry, content: &mut dyn Content) -> Result<(), Error>;
}

/// The bytes of a file. Holes are told where the source knows of them.
pub trait Content: Read {
    /// How many bytes from here on are a hole, which is then passed by; 0 if the next byte must be read.
    fn hole(&mut self) -> io::Result<u64> {
        Ok(0)
    }
}

impl Content for io::Empty {}

/// What a name begins with that deletes another.
const WHITEOUT: &[u8] = b".wh.";
/// The name that makes its folder opaque.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What names of another union file system begin with, which mean nothing to anybody else.
const FOREIGN: &[u8] = b".wh..wh.";

/// What a name in transport stands for.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// An ordinary entry.
    Itself,
    /// The deletion of the entry with this path.
    Deletes(Vec<u8>),
    /// The folder with this path is opaque.
    Hides(Vec<u8>),
    /// Nothing.
    Nothing,
}

/// Brings a path of a source into the form that entries have. One that leads out is refused.
pub fn plain(path: &[u8]) -> Result<Vec<u8>, Error> {
    /// As long as the kernel takes.
    const LONGEST: usize = 4095;
    let refuse = |why: &str| Err(failure::invalid(format!("found {:?}, {why}", failure::name(path))));
    if path.first() == Some(&b'/') {
        return refuse("expected a relative path");
    }
    if path.contains(&0) || path.len() > LONGEST {
        return refuse("which no file can be called");
    }
    let parts: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.contains(&&b".."[..]) {
        return refuse("which leads out of the layer");
    }
    Ok(parts.join(&b'/'))
}

/// What a path in transport stands for.
pub fn meaning(path: &[u8]) -> Result<Meaning, Error> {
    let (folder, name) = split(path);
    let Some(rest) = name.strip_prefix(WHITEOUT) else { return Ok(Meaning::Itself) };
    if name == OPAQUE {
        return Ok(Meaning::Hides(folder.to_vec()));
    }
    if name.starts_with(FOREIGN) {
        return Ok(Meaning::Nothing);
    }
    if matches!(rest, b"" | b"." | b"..") {
        return Err(failure::invalid(format!("found {:?}, which deletes nothing", failure::name(path))));
    }
    Ok(Meaning::Deletes(join(folder, rest)))
}

/// The path in transport of an entry that means a deletion.
pub fn in_transport(entry: &Entry) -> Vec<u8> {
    let (folder, name) = split(&entry.path);
    match entry.kind {
        Kind::Whiteout => join(folder, &[WHITEOUT, name].concat()),
        Kind::Opaque => join(&entry.path, OPAQUE),
        _ => entry.path.clone(),
    }
}

/// The folder and the name in it.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// The path of a name in a folder.
pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_brought_into_one_form_and_none_leads_out() {
        assert_eq!(plain(b"./a//b/./c/").unwrap(), b"a/b/c");
        assert_eq!(plain(b"./").unwrap(), b"");
        assert_eq!(plain(b"..a/b..").unwrap(), b"..a/b..");
        for wrong in [&b"/etc/passwd"[..], b"../x", b"a/../b", b"a/..", b"a\0b", &[b'x'; 4096]] {
            assert!(plain(wrong).is_err(), "{:?}", failure::name(wrong));
        }
    }

    #[test]
    fn deletions_are_found_by_their_names_and_named_again() {
        assert_eq!(meaning(b"a/.wh.b").unwrap(), Meaning::Deletes(b"a/b".to_vec()));
        assert_eq!(meaning(b"a/.wh..wh..opq").unwrap(), Meaning::Hides(b"a".to_vec()));
        assert_eq!(meaning(b".wh..wh.plnk").unwrap(), Meaning::Nothing);
        assert_eq!(meaning(b"a/.who").unwrap(), Meaning::Itself);
        assert!(meaning(b"a/.wh.").is_err() && meaning(b".wh...").is_err());
        let entry = |path: &[u8], kind| Entry {
            path: path.to_vec(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            changed: Time::default(),
            attributes: Vec::new(),
        };
        assert_eq!(in_transport(&entry(b"a/b", Kind::Whiteout)), b"a/.wh.b");
        assert_eq!(in_transport(&entry(b"a", Kind::Opaque)), b"a/.wh..wh..opq");
        assert_eq!(in_transport(&entry(b"", Kind::Opaque)), b".wh..wh..opq");
    }
}

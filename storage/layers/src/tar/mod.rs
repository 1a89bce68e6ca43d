//! Reads the members of a tar: classic, ustar, GNU and PAX, with sparse files of GNU.
//!
//! By hand, because the crate for it takes a value of PAX to end at the first end of line, which attributes such as
//! capabilities contain. Nothing here trusts a number: lengths are limited before memory is taken for them.

mod body;
mod field;
mod sparse;

use std::io::{self, Read, Seek};

pub use self::body::Body;
use self::{
    field::{check_sum, number, pairs, signed, text, time},
    sparse::Sparse,
};
use crate::entry::Time;

const BLOCK: usize = 512;
/// The most of what is said of one member beside its header, by however many headers.
const MOST_SAID: u64 = 4 << 20;
/// The most bytes of names of attributes that a file has; the kernel holds no more.
const MOST_NAMES: usize = 64 << 10;
/// The most that is said of all members: it is looked at for each.
const MOST_SAID_OF_ALL: u64 = 64 << 10;
/// What each header before a member counts at least: it takes a block, and time to be read.
const HEADER: u64 = BLOCK as u64;
/// What is said of a member.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// Its name.
    pub path: Vec<u8>,
    /// What it links to.
    pub link: Vec<u8>,
    /// The type's letter.
    pub kind: u8,
    /// Its mode.
    pub mode: u32,
    /// Its owner.
    pub uid: u64,
    /// Its group.
    pub gid: u64,
    /// When it was changed.
    pub changed: Time,
    /// Bytes of the file.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes in the archive.
    stored: u64,
    /// Where the stored bytes belong: offset and length.
    pieces: Option<Vec<(u64, u64)>>,
}

/// Reads members, one after the other.
pub struct Reader<R> {
    from: R,
    /// What PAX says of all members that follow.
    of_all: Vec<(Vec<u8>, Vec<u8>)>,
}

fn damaged(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl<R: Read> Reader<R> {
    /// Reads from here.
    pub fn new(from: R) -> Reader<R> {
        Reader { from, of_all: Vec::new() }
    }

    /// The next member; `None` at the end mark. The content of the one before must have been read.
    pub fn next(&mut self) -> io::Result<Option<Member>> {
        let mut said = Said { pairs: self.of_all.clone(), ..Said::default() };
        let mut room = MOST_SAID;
        loop {
            let mut header = [0; BLOCK];
            self.from.read_exact(&mut header)?;
            if header.iter().all(|byte| *byte == 0) {
                return if said.is_of_nobody() { Ok(None) } else { Err(damaged("it ends before a member")) };
            }
            check_sum(&header)?;
            let size = number(&header[124..136])?;
            match header[156] {
                b'x' => said.pairs.extend(pairs(&self.said(size, &mut room)?)?),
                b'g' if size > MOST_SAID_OF_ALL => {
                    return Err(damaged(format!("{size} bytes are said of all members")));
                }
                b'g' => {
                    self.of_all = pairs(&self.said(size, &mut room)?)?;
                    said.pairs.extend(self.of_all.clone());
                }
                b'L' => said.path = Some(text(&self.said(size, &mut room)?)),
                b'K' => said.link = Some(text(&self.said(size, &mut room)?)),
                _ => return self.member(&header, size, said).map(Some),
            }
        }
    }

    /// Bytes that say something of the next member, as long as there is room for them.
    fn said(&mut self, size: u64, room: &mut u64) -> io::Result<Vec<u8>> {
        let left = room.checked_sub(HEADER).and_then(|room| room.checked_sub(size));
        *room = left.ok_or_else(|| damaged(format!("more than {MOST_SAID} bytes are said of one member")))?;
        let mut bytes = vec![0; size as usize];
        self.from.read_exact(&mut bytes)?;
        self.skip_padding(size)?;
        Ok(bytes)
    }

    fn skip_padding(&mut self, size: u64) -> io::Result<()> {
        let over = (size % BLOCK as u64) as usize;
        if over == 0 { Ok(()) } else { self.from.read_exact(&mut [0; BLOCK][over..]) }
    }

    fn member(&mut self, header: &[u8; BLOCK], size: u64, said: Said) -> io::Result<Member> {
        let mut member = Member {
            path: text(&header[..100]),
            link: text(&header[157..257]),
            kind: header[156],
            mode: number(&header[100..108])? as u32 & 0o7777,
            uid: number(&header[108..116])?,
            gid: number(&header[116..124])?,
            changed: Time { seconds: signed(&header[136..148])?, nanoseconds: 0 },
            size,
            stored: size,
            ..Member::default()
        };
        let is_gnu = &header[257..265] == b"ustar  \0";
        if &header[257..262] == b"ustar" {
            member.device = (number(&header[329..337])? as u32, number(&header[337..345])? as u32);
            let prefix = text(&header[345..500]);
            if !is_gnu && !prefix.is_empty() {
                member.path = [&prefix[..], b"/", &member.path].concat();
            }
        }
        // A folder of times before there was a letter for it.
        if matches!(member.kind, 0 | b'0') && member.path.ends_with(b"/") {
            member.kind = b'5';
        }
        if member.kind == b'S' {
            self.old_sparse(header, &mut member)?;
        }
        member.path = said.path.unwrap_or(member.path);
        member.link = said.link.unwrap_or(member.link);
        let mut sparse = Sparse::default();
        for (key, value) in said.pairs {
            extend(&mut member, &mut sparse, &key, value)?;
        }
        // Of those with the same name the last one counts.
        member.attributes.reverse();
        member.attributes.sort_by(|(left, _), (right, _)| left.cmp(right));
        member.attributes.dedup_by(|(later, _), (kept, _)| later == kept);
        let names: usize = member.attributes.iter().map(|(name, _)| name.len() + 1).sum();
        if names > MOST_NAMES {
            return Err(damaged(format!("{names} bytes of names of attributes are said of one member")));
        }
        // Only files have content, whatever the header says.
        if !matches!(member.kind, 0 | b'0' | b'7' | b'S') {
            (member.size, member.stored) = (0, 0);
        }
        self.new_sparse(sparse, &mut member)?;
        Ok(member)
    }

    /// Passes over the content of the member that was read last; where it begins.
    pub fn pass(&mut self, member: &Member) -> io::Result<u64>
    where
        R: Seek,
    {
        let start = self.from.stream_position()?;
        let length =
            member.stored.checked_next_multiple_of(BLOCK as u64).and_then(|all| i64::try_from(all).ok());
        self.from.seek_relative(length.ok_or_else(|| damaged("a file of no possible size"))?)?;
        Ok(start)
    }

    /// The content of the member that was read last.
    pub fn content<'a>(&'a mut self, member: &'a Member) -> Body<'a, R> {
        Body::of(self, member)
    }
}

/// What the members before one say of it.
#[derive(Default)]
struct Said {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Member {
    /// Whether the bytes in the archive are those of the file.
    pub fn is_plain_file(&self) -> bool {
        matches!(self.kind, 0 | b'0' | b'7') && self.pieces.is_none()
    }
}

impl Said {
    fn is_of_nobody(&self) -> bool {
        self.path.is_none() && self.link.is_none()
    }
}

/// Takes what the header has no room for.
fn extend(member: &mut Member, sparse: &mut Sparse, key: &[u8], value: Vec<u8>) -> io::Result<()> {
    const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";
    let wrong =
        || damaged(format!("found {}={:?}", String::from_utf8_lossy(key), String::from_utf8_lossy(&value)));
    let decimal = || std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok()).ok_or_else(wrong);
    match key {
        b"path" => member.path = value,
        b"linkpath" => member.link = value,
        b"uid" => member.uid = decimal()?,
        b"gid" => member.gid = decimal()?,
        b"size" => {
            member.stored = decimal()?;
            member.size = member.stored;
        }
        b"mtime" => {
            member.changed = std::str::from_utf8(&value).ok().and_then(time).ok_or_else(wrong)?;
        }
        b"GNU.sparse.major" => sparse.major = Some(decimal()?),
        b"GNU.sparse.minor" => sparse.minor = Some(decimal()?),
        b"GNU.sparse.realsize" => sparse.size = Some(decimal()?),
        b"GNU.sparse.name" => sparse.name = Some(value),
        _ => {
            if let Some(name) = key.strip_prefix(ATTRIBUTE) {
                member.attributes.push((name.to_vec(), value));
            } else {
                sparse.is_old |= key.starts_with(b"GNU.sparse.");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of this kind with these bytes behind it.
    fn member(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut header = [0; BLOCK];
        header[0] = b'a';
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = kind;
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let padding = vec![0; content.len().next_multiple_of(BLOCK) - content.len()];
        [&header[..], content, &padding].concat()
    }

    fn line(key: &str, value: &str) -> String {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len();
        while format!("{length}{rest}").len() != length {
            length = format!("{length}{rest}").len();
        }
        format!("{length}{rest}")
    }

    #[test]
    fn what_is_said_of_a_member_is_limited_however_it_is_cut() {
        let said = line("comment", &"x".repeat(1 << 20));
        let archive = |count: usize| {
            let headers = (0..count).flat_map(|_| member(b'x', said.as_bytes()));
            headers.chain(member(b'0', b"")).chain([0; 2 * BLOCK]).collect::<Vec<u8>>()
        };
        let read = |archive: &[u8]| Reader::new(archive).next().map(|member| member.is_some());
        assert!(read(&archive(3)).unwrap());
        assert!(read(&archive(4)).unwrap_err().to_string().contains("are said of one member"));
        let of_all = [member(b'g', said.as_bytes()), member(b'0', b"")].concat();
        assert!(read(&of_all).unwrap_err().to_string().contains("are said of all members"));
        let empty: Vec<u8> = (0..MOST_SAID / HEADER + 1).flat_map(|_| member(b'x', b"")).collect();
        assert!(read(&empty).unwrap_err().to_string().contains("are said of one member"));
    }

    #[test]
    fn attributes_are_limited_and_of_each_the_last_counts() {
        let said = |count: usize| -> Vec<u8> {
            let lines = (0..count).map(|number| line(&format!("SCHILY.xattr.user.{number}"), "old"));
            let again = line("SCHILY.xattr.user.0", "new");
            let lines: String = lines.chain([again]).collect();
            [member(b'x', lines.as_bytes()), member(b'0', b"")].concat()
        };
        let few = Reader::new(&said(3)[..]).next().unwrap().unwrap();
        let expected = [("user.0", "new"), ("user.1", "old"), ("user.2", "old")];
        assert_eq!(
            few.attributes,
            expected.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        );
        let many = Reader::new(&said(50_000)[..]).next().unwrap_err();
        assert!(many.to_string().contains("names of attributes"), "{many}");
    }
}

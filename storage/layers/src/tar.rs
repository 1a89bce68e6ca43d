//! Reads the members of a tar: classic, ustar, GNU and PAX, with sparse files of GNU.
//!
//! By hand, because the crate for it takes a value of PAX to end at the first end of line, which attributes such as
//! capabilities contain. Nothing here trusts a number: lengths are limited before memory is taken for them.

use std::io::{self, Read, Seek};

use crate::entry::{Content, Time};

const BLOCK: usize = 512;
/// The most of what is said of one member beside its header, by however many headers.
const MOST_SAID: u64 = 4 << 20;
/// The most bytes of names of attributes that a file has; the kernel holds no more.
const MOST_NAMES: usize = 64 << 10;
/// The most that is said of all members: it is looked at for each.
const MOST_SAID_OF_ALL: u64 = 64 << 10;
/// What each header before a member counts at least: it takes a block, and time to be read.
const HEADER: u64 = BLOCK as u64;
/// The most pieces of a sparse file.
const MOST_PIECES: usize = 1 << 18;

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

    /// The map of a sparse file in the header and in blocks behind it.
    fn old_sparse(&mut self, header: &[u8; BLOCK], member: &mut Member) -> io::Result<()> {
        const PAIR: usize = 24;
        let mut pieces = Vec::new();
        let mut take = |from: &[u8]| -> io::Result<()> {
            for pair in from.chunks_exact(PAIR).filter(|pair| pair[0] != 0) {
                pieces.push((number(&pair[..12])?, number(&pair[12..])?));
            }
            if pieces.len() > MOST_PIECES { Err(damaged("a file in too many pieces")) } else { Ok(()) }
        };
        take(&header[386..482])?;
        member.size = number(&header[483..495])?;
        let mut goes_on = header[482] != 0;
        while goes_on {
            let mut more = [0; BLOCK];
            self.from.read_exact(&mut more)?;
            take(&more[..504])?;
            goes_on = more[504] != 0;
        }
        member.pieces = Some(pieces);
        member.kind = b'0';
        Ok(())
    }

    /// The map at the beginning of the content, as GNU writes it in PAX archives.
    fn new_sparse(&mut self, sparse: Sparse, member: &mut Member) -> io::Result<()> {
        let Some(version) = sparse.version() else { return Ok(()) };
        if version != (1, 0) {
            return Err(damaged(format!("a sparse file of the unknown form {}.{}", version.0, version.1)));
        }
        member.path = sparse.name.unwrap_or_else(|| member.path.clone());
        member.size = sparse.size.ok_or_else(|| damaged("a sparse file of no size"))?;
        let mut map = Map { from: &mut self.from, left: member.stored, block: [0; BLOCK], at: BLOCK };
        let count = map.number()?;
        if count > MOST_PIECES as u64 {
            return Err(damaged("a file in too many pieces"));
        }
        let pieces = (0..count).map(|_| Ok((map.number()?, map.number()?)));
        member.pieces = Some(pieces.collect::<io::Result<_>>()?);
        member.stored = map.left;
        Ok(())
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
        Body {
            reader: self,
            pieces: member.pieces.as_deref().unwrap_or_default(),
            is_sparse: member.pieces.is_some(),
            at: 0,
            size: member.size,
            stored: member.stored,
            left: member.stored,
        }
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

/// What PAX says of a sparse file.
#[derive(Default)]
struct Sparse {
    major: Option<u64>,
    minor: Option<u64>,
    is_old: bool,
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Sparse {
    fn version(&self) -> Option<(u64, u64)> {
        match (self.major, self.is_old) {
            (Some(major), _) => Some((major, self.minor.unwrap_or(0))),
            (None, true) => Some((0, 1)),
            (None, false) => None,
        }
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

/// The lines of PAX: length in digits, blank, key, `=`, value, end of line. A value may contain anything.
fn pairs(mut bytes: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let wrong = || damaged("a line of PAX that is none");
        let blank = bytes.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let digits = std::str::from_utf8(&bytes[..blank]).ok().and_then(|text| text.parse::<usize>().ok());
        let length = digits.filter(|length| (blank + 1..=bytes.len()).contains(length)).ok_or_else(wrong)?;
        let line = bytes[blank + 1..length].strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = line.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
        found.push((line[..equals].to_vec(), line[equals + 1..].to_vec()));
        bytes = &bytes[length..];
    }
    Ok(found)
}

/// Text up to its NUL.
fn text(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

fn number(field: &[u8]) -> io::Result<u64> {
    u64::try_from(signed(field)?).map_err(|_| damaged("a number below zero"))
}

/// Octal digits between blanks, or a binary number where the first bit is set.
fn signed(field: &[u8]) -> io::Result<i64> {
    if field[0] & 0x80 != 0 {
        let is_negative = field[0] & 0x40 != 0;
        let first = if is_negative { i64::from(field[0] as i8) } else { i64::from(field[0] & 0x7f) };
        let next = |value: i64, byte: &u8| {
            let shifted = value.checked_mul(256)?;
            shifted.checked_add(i64::from(*byte))
        };
        let value = field[1..].iter().try_fold(if is_negative { first | !0xff } else { first }, next);
        return value.ok_or_else(|| damaged("a number that is too large"));
    }
    let digits: Vec<u8> = field
        .iter()
        .copied()
        .skip_while(|byte| *byte == b' ')
        .take_while(|byte| !b" \0".contains(byte))
        .collect();
    let next = |value: i64, byte: &u8| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    };
    digits.iter().try_fold(0, next).ok_or_else(|| damaged("a number that is none"))
}

fn check_sum(header: &[u8; BLOCK]) -> io::Result<()> {
    let bytes = header.iter().enumerate().map(|(index, byte)| match index {
        148..156 => u64::from(b' '),
        _ => u64::from(*byte),
    });
    // A fuzzer cannot know it, and would get no further.
    if number(&header[148..156])? == bytes.sum::<u64>() || cfg!(fuzzing) {
        Ok(())
    } else {
        Err(damaged("a header with a wrong sum"))
    }
}

/// `seconds[.fraction]`, maybe negative.
fn time(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some(Time { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds });
    }
    Some(Time { seconds, nanoseconds })
}

/// The numbers at the beginning of a sparse file, one a line, in whole blocks.
struct Map<'a, R> {
    from: &'a mut R,
    left: u64,
    block: [u8; BLOCK],
    at: usize,
}

impl<R: Read> Map<'_, R> {
    fn number(&mut self) -> io::Result<u64> {
        let mut value = 0u64;
        loop {
            if self.at == BLOCK {
                self.left =
                    self.left.checked_sub(BLOCK as u64).ok_or_else(|| damaged("a map that does not end"))?;
                self.from.read_exact(&mut self.block)?;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'0'..=b'9' => {
                    let next =
                        value.checked_mul(10).and_then(|value| value.checked_add(u64::from(byte - b'0')));
                    value = next.ok_or_else(|| damaged("a number that is too large"))?;
                }
                b'\n' => return Ok(value),
                _ => return Err(damaged("a map that is none")),
            }
        }
    }
}

/// The content of a member.
pub struct Body<'a, R> {
    reader: &'a mut Reader<R>,
    pieces: &'a [(u64, u64)],
    is_sparse: bool,
    /// Where in the file.
    at: u64,
    size: u64,
    stored: u64,
    left: u64,
}

impl<R: Read> Body<'_, R> {
    /// Reads what is left, and what follows up to the next header.
    pub fn finish(self) -> io::Result<()> {
        let mut rest = (&mut self.reader.from).take(self.left);
        if io::copy(&mut rest, &mut io::sink())? != self.left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.reader.skip_padding(self.stored)
    }

    /// How many bytes from here are in the archive, and how many a hole.
    fn here(&mut self) -> io::Result<(u64, u64)> {
        if !self.is_sparse {
            return Ok((self.size - self.at, 0));
        }
        while let Some((start, length)) = self.pieces.first() {
            let end = start.checked_add(*length).filter(|end| *end <= self.size);
            let end = end.ok_or_else(|| damaged("a piece beyond the end of its file"))?;
            if end <= self.at {
                self.pieces = &self.pieces[1..];
            } else if *start > self.at {
                return Ok((0, start - self.at));
            } else {
                return Ok((end - self.at, 0));
            }
        }
        Ok((0, self.size - self.at))
    }
}

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (stored, hole) = self.here()?;
        if stored == 0 {
            // Who does not ask for holes gets zeros.
            let length = buffer.len().min(usize::try_from(hole).unwrap_or(usize::MAX));
            buffer[..length].fill(0);
            self.at += length as u64;
            return Ok(length);
        }
        let room = buffer.len().min(usize::try_from(stored).unwrap_or(usize::MAX));
        let length = self.reader.from.read(&mut buffer[..room])?;
        if length == 0 && room > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += length as u64;
        self.left =
            self.left.checked_sub(length as u64).ok_or_else(|| damaged("pieces of more than there is"))?;
        Ok(length)
    }
}

impl<R: Read> Content for Body<'_, R> {
    fn hole(&mut self) -> io::Result<u64> {
        let (_, hole) = self.here()?;
        self.at += hole;
        Ok(hole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions_and_may_be_before_1970() {
        assert_eq!(time("1.5"), Some(Time { seconds: 1, nanoseconds: 500_000_000 }));
        assert_eq!(time("7"), Some(Time { seconds: 7, nanoseconds: 0 }));
        assert_eq!(time("-1.25"), Some(Time { seconds: -2, nanoseconds: 750_000_000 }));
        assert_eq!(time("1.0000000019"), Some(Time { seconds: 1, nanoseconds: 1 }));
        assert_eq!(time("x"), None);
        assert_eq!(time("1.x"), None);
    }

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000755\0").unwrap(), 0o755);
        assert_eq!(number(b" 755  \0").unwrap(), 0o755);
        assert_eq!(number(b"\0\0\0\0").unwrap(), 0);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]).unwrap(), 256);
        assert_eq!(signed(&[0xff; 8]).unwrap(), -1);
        assert!(number(b"0000789\0").is_err());
        assert!(number(&[0xbf; 12]).is_err());
    }

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

    #[test]
    fn a_value_of_pax_may_have_ends_of_lines() {
        let line = b"25 SCHILY.xattr.a=x\n=\ny\n\n";
        assert_eq!(line.len(), 25);
        assert_eq!(pairs(line).unwrap(), [(b"SCHILY.xattr.a".to_vec(), b"x\n=\ny\n".to_vec())]);
        for wrong in [&b"5 a=b"[..], b"99 a=b\n", b"0 \n", b"a=b\n", b"6 ab\n\n"] {
            assert!(pairs(wrong).is_err(), "{:?}", String::from_utf8_lossy(wrong));
        }
    }
}

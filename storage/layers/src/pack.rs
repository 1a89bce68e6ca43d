//! Writes entries as a tar that depends on nothing but them: the same layer has the same digest everywhere.
//!
//! Each entry has a classic header, and before it, where that has no room, one of PAX.

use std::io::{self, Write};

use crate::{
    digest::Hashed,
    entry::{self, Content, Entry, Kind, Sink},
    failure,
};
use hcs_core::Error;

const BLOCK: usize = 512;

/// Takes entries.
pub struct Packer<W> {
    to: Hashed<W>,
    buffer: Vec<u8>,
}

impl<W: Write> Packer<W> {
    /// Writes to this.
    pub fn new(to: W) -> Packer<W> {
        Packer { to: Hashed::new(to), buffer: vec![0; 1 << 16] }
    }

    /// Ends the archive; what was written to, and the digest of the tar.
    pub fn finish(mut self) -> Result<(W, String), Error> {
        self.write(&[0; 2 * BLOCK]).map_err(|error| Error::from_io(&error, "writing the archive"))?;
        let (to, digest, _) = self.to.finish();
        Ok((to, digest))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)
    }

    fn pad(&mut self, length: u64) -> io::Result<()> {
        let over = (length % BLOCK as u64) as usize;
        if over == 0 { Ok(()) } else { self.write(&[0; BLOCK][over..]) }
    }

    fn entry(&mut self, entry: &Entry, content: &mut dyn Content) -> io::Result<()> {
        let mut path = entry::in_transport(entry);
        let size = if let Kind::File(size) = entry.kind { size } else { 0 };
        let (kind, link, device) = match &entry.kind {
            Kind::Directory => {
                path.push(b'/');
                (b'5', None, None)
            }
            // A deletion is an empty file.
            Kind::File(_) | Kind::Whiteout | Kind::Opaque => (b'0', None, None),
            Kind::HardLink(target) => (b'1', Some(target), None),
            Kind::Symlink(target) => (b'2', Some(target), None),
            Kind::Character(major, minor) => (b'3', None, Some((*major, *minor))),
            Kind::Block(major, minor) => (b'4', None, Some((*major, *minor))),
            Kind::Fifo => (b'6', None, None),
        };
        if path == b"/" {
            path = b"./".to_vec();
        }
        let mut header = Header::new(kind);
        let mut more = Vec::new();
        let mut add = |key: &[u8], value: &[u8]| extension(&mut more, key, value);
        if !header.text(Header::NAME, &path) {
            add(b"path", &path);
        }
        if let Some(link) = link
            && !header.text(Header::LINK, link)
        {
            add(b"linkpath", link);
        }
        header.number(Header::MODE, u64::from(entry.mode));
        for (field, key, value) in
            [(Header::UID, &b"uid"[..], entry.uid), (Header::GID, &b"gid"[..], entry.gid)]
        {
            if !header.number(field, u64::from(value)) {
                add(key, value.to_string().as_bytes());
            }
        }
        if !header.number(Header::SIZE, size) {
            add(b"size", size.to_string().as_bytes());
        }
        let time = entry.changed;
        let fits = u64::try_from(time.seconds).is_ok_and(|seconds| header.number(Header::TIME, seconds));
        if !fits || time.nanoseconds != 0 {
            add(b"mtime", decimal(time.seconds, time.nanoseconds).as_bytes());
        }
        if let Some((major, minor)) = device {
            header.number(Header::MAJOR, u64::from(major));
            header.number(Header::MINOR, u64::from(minor));
        }
        for (name, value) in &entry.attributes {
            add(&[&b"SCHILY.xattr."[..], name].concat(), value);
        }
        if !more.is_empty() {
            let mut before = Header::new(b'x');
            before.text(Header::NAME, b"PaxHeader");
            before.number(Header::MODE, 0o644);
            before.number(Header::SIZE, more.len() as u64);
            self.write(&before.finish())?;
            self.write(&more)?;
            self.pad(more.len() as u64)?;
        }
        self.write(&header.finish())?;
        self.content(size, content)?;
        self.pad(size)
    }

    fn content(&mut self, size: u64, content: &mut dyn Content) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut left = size;
        while left > 0 {
            let hole = content.hole()?.min(left);
            let length = match hole {
                0 => content.read(&mut buffer[..])?.min(usize::try_from(left).unwrap_or(usize::MAX)),
                hole => {
                    let length = buffer.len().min(usize::try_from(hole).unwrap_or(usize::MAX));
                    let mut zeros = hole;
                    buffer[..length].fill(0);
                    while zeros > length as u64 {
                        self.write(&buffer[..length])?;
                        zeros -= length as u64;
                        left -= length as u64;
                    }
                    zeros as usize
                }
            };
            if length == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file became shorter meanwhile",
                ));
            }
            self.write(&buffer[..length])?;
            left -= length as u64;
        }
        self.buffer = buffer;
        Ok(())
    }
}

impl<W: Write> Sink for Packer<W> {
    fn take(&mut self, entry: &Entry, content: &mut dyn Content) -> Result<(), Error> {
        self.entry(entry, content).map_err(|error| {
            Error::from_io(&error, format!("writing {:?} to the archive", failure::name(&entry.path)))
        })
    }
}

/// `seconds.nanoseconds`, without zeros at the end.
fn decimal(seconds: i64, nanoseconds: u32) -> String {
    let (sign, whole, fraction) = match (seconds < 0, nanoseconds) {
        (true, 1..) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds),
        (true, 0) => ("-", seconds.unsigned_abs(), 0),
        (false, _) => ("", seconds.unsigned_abs(), nanoseconds),
    };
    let text = format!("{sign}{whole}.{fraction:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A line of PAX: its own length in digits, a blank, key, value, end of line.
fn extension(to: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    to.extend(length.to_string().into_bytes());
    to.push(b' ');
    to.extend(key);
    to.push(b'=');
    to.extend(value);
    to.push(b'\n');
}

/// A classic header.
struct Header([u8; BLOCK]);

impl Header {
    const NAME: std::ops::Range<usize> = 0..100;
    const MODE: std::ops::Range<usize> = 100..108;
    const UID: std::ops::Range<usize> = 108..116;
    const GID: std::ops::Range<usize> = 116..124;
    const SIZE: std::ops::Range<usize> = 124..136;
    const TIME: std::ops::Range<usize> = 136..148;
    const SUM: std::ops::Range<usize> = 148..156;
    const KIND: usize = 156;
    const LINK: std::ops::Range<usize> = 157..257;
    const MAGIC: std::ops::Range<usize> = 257..265;
    const MAJOR: std::ops::Range<usize> = 329..337;
    const MINOR: std::ops::Range<usize> = 337..345;

    fn new(kind: u8) -> Header {
        let mut header = Header([0; BLOCK]);
        header.0[Header::MAGIC].copy_from_slice(b"ustar\x0000");
        header.0[Header::KIND] = kind;
        for field in [Header::UID, Header::GID, Header::SIZE, Header::TIME, Header::MODE] {
            header.number(field, 0);
        }
        header
    }

    /// False if it does not fit; what fits is there.
    fn text(&mut self, field: std::ops::Range<usize>, text: &[u8]) -> bool {
        let length = text.len().min(field.len());
        self.0[field.start..field.start + length].copy_from_slice(&text[..length]);
        // Readers of names beyond ASCII disagree, and PAX says what they are.
        length == text.len() && text.is_ascii()
    }

    /// In octal. False if it does not fit; then it is zero.
    fn number(&mut self, field: std::ops::Range<usize>, value: u64) -> bool {
        let width = field.len() - 1;
        let text = format!("{value:0width$o}");
        let fits = text.len() == width;
        let text = if fits { text } else { "0".repeat(width) };
        self.0[field.start..field.end - 1].copy_from_slice(text.as_bytes());
        fits
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.0[Header::SUM].fill(b' ');
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        let text = format!("{sum:06o}\0 ");
        self.0[Header::SUM].copy_from_slice(text.as_bytes());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_pax_count_themselves() {
        let mut line = Vec::new();
        extension(&mut line, b"path", b"x");
        assert_eq!(line, b"9 path=x\n");
        let mut line = Vec::new();
        extension(&mut line, b"path", &[b'y'; 88]);
        assert!(line.starts_with(b"97 path="), "{}", String::from_utf8_lossy(&line));
        assert_eq!(line.len(), 97);
        // The length of the length makes it longer.
        let mut line = Vec::new();
        extension(&mut line, b"path", &[b'y'; 91]);
        assert!(line.starts_with(b"101 path=") && line.len() == 101, "{}", line.len());
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        assert_eq!(decimal(1, 500_000_000), "1.5");
        assert_eq!(decimal(-2, 750_000_000), "-1.25");
        assert_eq!(decimal(-2, 0), "-2");
        assert_eq!(decimal(7, 0), "7");
        assert_eq!(decimal(10, 0), "10");
    }
}

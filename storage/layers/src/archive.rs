//! Reads a layer from a tar, compressed or not.

use std::io::{self, BufRead, BufReader, Read};

use hcs_core::Error;
use sha2::{Digest, Sha256};

use crate::{
    ahead::{self, Ahead},
    entry::{self, Entry, Kind, Meaning, Sink},
    failure,
    tar::{Member, Reader},
};

/// What an archive may grow to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes of the tar when it is unpacked.
    pub bytes: u64,
}

impl Default for Limits {
    /// More than any layer that was ever seen has.
    fn default() -> Limits {
        Limits { entries: 8 << 20, bytes: 1 << 40 }
    }
}

/// How the bytes of a file begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A tar.
    Plain,
    /// A tar in gzip.
    Gzip,
    /// A tar in zstd.
    Zstd,
}

/// Looks at the first bytes of a file; `None` if they are those of something else.
pub fn form(beginning: &[u8]) -> Option<Form> {
    const MAGIC: std::ops::Range<usize> = 257..262;
    if beginning.starts_with(&[0x1f, 0x8b]) {
        Some(Form::Gzip)
    } else if beginning.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some(Form::Zstd)
    } else if beginning.get(MAGIC) == Some(b"ustar") {
        Some(Form::Plain)
    } else {
        // An archive of nothing is two empty blocks.
        (beginning.len() >= 512 && beginning.iter().all(|byte| *byte == 0)).then_some(Form::Plain)
    }
}

/// Reads all entries of an archive into a sink. Returns the digest of the tar, which names the layer in an image.
pub fn read(source: impl Read + Send, limits: Limits, sink: &mut dyn Sink) -> Result<String, Error> {
    let mut source = BufReader::with_capacity(1 << 16, source);
    let broken = |error: io::Error| broken(&error);
    let form = form(source.fill_buf().map_err(broken)?)
        .ok_or_else(|| failure::invalid("this is no tar, and no tar in gzip or zstd"))?;
    let plain: Box<dyn Read + Send + '_> = match form {
        Form::Plain => Box::new(source),
        Form::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        Form::Zstd => Box::new(zstd::Decoder::with_buffer(source).map_err(broken)?),
    };
    let counted = Counted { from: plain, hash: Sha256::new(), left: limits.bytes };
    let (source, ahead) = ahead::new(counted);
    let hash = std::thread::scope(|scope| {
        let reading = scope.spawn(|| source.run().hash);
        let taken = take_all(ahead, limits, sink);
        // A failure here ends the other as well: nobody takes what it reads.
        let hash = reading.join().map_err(|_| failure::invalid("the archive cannot be read"));
        taken.and(hash)
    })?;
    let digest = hash.finalize();
    Ok(format!("sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

fn take_all(mut from: Ahead, limits: Limits, sink: &mut dyn Sink) -> Result<(), Error> {
    let broken = |error: io::Error| broken(&error);
    let mut members = Reader::new(&mut from);
    let mut entries = 0;
    while let Some(member) = members.next().map_err(broken)? {
        entries += 1;
        if entries > limits.entries {
            return Err(failure::invalid(format!("the archive has more than {} entries", limits.entries)));
        }
        let Some(entry) = entry_of(&member)? else {
            members.content(&member).finish().map_err(broken)?;
            continue;
        };
        let mut content = members.content(&member);
        match entry.kind {
            Kind::File(_) => sink.take(&entry, &mut content)?,
            _ => sink.take(&entry, &mut io::empty())?,
        }
        content.finish().map_err(broken)?;
    }
    // What follows the end mark belongs to the digest, and to the checksum of the compression.
    io::copy(&mut from, &mut io::sink()).map_err(broken)?;
    Ok(())
}

fn broken(error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(_) => Error::from_io(error, "reading the archive"),
        None => failure::invalid(format!("the archive is damaged: {error}")),
    }
}

/// The bytes of the tar, counted and hashed.
struct Counted<R> {
    from: R,
    hash: Sha256,
    left: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(buffer)?;
        self.left = self
            .left
            .checked_sub(length as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is larger than what is allowed"))?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

/// What a member is in a layer; `None` for what means nothing there.
fn entry_of(member: &Member) -> Result<Option<Entry>, Error> {
    let path = entry::plain(&member.path)?;
    let wrong = |detail: &str| failure::invalid(format!("{:?}: {detail}", failure::name(&path)));
    let link = || match member.link.is_empty() {
        true => Err(wrong("a link to nothing")),
        false => Ok(member.link.clone()),
    };
    let (major, minor) = member.device;
    let kind = match member.kind {
        0 | b'0' | b'7' => Kind::File(member.size),
        b'5' => Kind::Directory,
        b'2' => Kind::Symlink(link()?),
        b'1' => Kind::HardLink(entry::plain(&link()?)?),
        b'3' => Kind::Character(major, minor),
        b'4' => Kind::Block(major, minor),
        b'6' => Kind::Fifo,
        other => return Err(wrong(&format!("an entry of the unknown type {:?}", char::from(other)))),
    };
    let number = |value: u64, what: &str| u32::try_from(value).map_err(|_| wrong(what));
    let mut attributes = member.attributes.clone();
    attributes.sort();
    let entry = Entry {
        kind,
        mode: member.mode,
        uid: number(member.uid, "a user of no number")?,
        gid: number(member.gid, "a group of no number")?,
        changed: member.changed,
        attributes,
        path: path.clone(),
    };
    Ok(match entry::meaning(&path)? {
        Meaning::Itself => Some(entry),
        Meaning::Nothing => None,
        Meaning::Deletes(path) => Some(Entry { path, kind: Kind::Whiteout, ..entry }),
        Meaning::Hides(path) => Some(Entry { path, kind: Kind::Opaque, ..entry }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Content;

    struct Ignore;

    impl Sink for Ignore {
        fn take(&mut self, _: &Entry, content: &mut dyn Content) -> Result<(), Error> {
            io::copy(content, &mut io::sink()).map_err(|error| broken(&error)).map(|_| ())
        }
    }

    #[test]
    fn garbage_is_an_error_and_never_more() {
        for length in [0, 1, 2, 100, 512, 1024, 5000] {
            for seed in 0..40u64 {
                let mut state = seed + 1;
                let mut bytes: Vec<u8> = (0..length)
                    .map(|_| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (state >> 56) as u8
                    })
                    .collect();
                for start in [&b""[..], &[0x1f, 0x8b, 8], &[0x28, 0xb5, 0x2f, 0xfd]] {
                    let end = start.len().min(bytes.len());
                    bytes[..end].copy_from_slice(&start[..end]);
                    if length > 262 && seed % 2 == 0 {
                        bytes[257..262].copy_from_slice(b"ustar");
                    }
                    assert!(read(&bytes[..], Limits::default(), &mut Ignore).is_err());
                }
            }
        }
    }
}

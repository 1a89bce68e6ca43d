//! Reads a layer from a tar, compressed or not.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
};

use crate::{
    ahead::{self, Ahead},
    digest::Hashed,
    entry::{self, Entry, Kind, Meaning, Sink},
    failure,
    tar::{Member, Reader},
};
use hcs_core::Error;

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
    let plain = decode(form, source)?;
    let bounded = Bounded { from: Hashed::new(plain), most: limits.bytes };
    let (source, ahead) = ahead::new(bounded);
    std::thread::scope(|scope| {
        let reading = std::thread::Builder::new().spawn_scoped(scope, || source.run().from.finish().1);
        let reading = reading.map_err(|error| Error::from_io(&error, "starting a thread"))?;
        let taken = take_all(ahead, limits, sink);
        // A failure here ends the other as well: nobody takes what it reads.
        let digest = reading.join().map_err(|_| failure::invalid("the archive cannot be read"));
        taken.and(digest)
    })
}

fn decode<'a>(form: Form, source: impl BufRead + Send + 'a) -> Result<Box<dyn Read + Send + 'a>, Error> {
    Ok(match form {
        Form::Plain => Box::new(source),
        Form::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        Form::Zstd => Box::new(zstd::Decoder::with_buffer(source).map_err(|error| broken(&error))?),
    })
}

/// The bytes in a file of this form.
pub fn decoder(form: Form, file: File) -> Result<Box<dyn Read>, Error> {
    Ok(decode(form, BufReader::with_capacity(1 << 16, file))?)
}

/// A file in an archive of anything, or another name of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub path: Vec<u8>,
    /// What it is.
    pub what: What,
}

/// What is found in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Bytes of the archive.
    File {
        /// Where they begin.
        start: u64,
        /// How many they are.
        size: u64,
    },
    /// Another name: of what this leads to from the folder of the link.
    Symlink(Vec<u8>),
    /// Another name: of what has this name in the archive.
    HardLink(Vec<u8>),
}

/// Finds the files in a tar that is not compressed, without reading them.
pub fn index(tar: &File, limits: Limits) -> Result<Vec<Found>, Error> {
    let broken = |error: io::Error| broken(&error);
    let mut members = Reader::new(BufReader::new(tar));
    let (mut found, mut entries) = (Vec::new(), 0);
    while let Some(member) = next(&mut members, &mut entries, limits)? {
        let start = members.pass(&member).map_err(broken)?;
        let what = match member.kind {
            b'2' => What::Symlink(member.link),
            b'1' => What::HardLink(member.link),
            _ if member.is_plain_file() => What::File { start, size: member.size },
            _ => continue,
        };
        found.push(Found { path: member.path, what });
    }
    Ok(found)
}

/// The next member, of no more than are allowed.
fn next<R: Read>(
    members: &mut Reader<R>,
    entries: &mut u64,
    limits: Limits,
) -> Result<Option<Member>, Error> {
    let member = members.next().map_err(|error| broken(&error))?;
    *entries += u64::from(member.is_some());
    if *entries > limits.entries {
        return Err(failure::invalid(format!("the archive has more than {} entries", limits.entries)));
    }
    Ok(member)
}

fn take_all(mut from: Ahead, limits: Limits, sink: &mut dyn Sink) -> Result<(), Error> {
    let broken = |error: io::Error| broken(&error);
    let mut members = Reader::new(&mut from);
    let mut entries = 0;
    while let Some(member) = next(&mut members, &mut entries, limits)? {
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

/// The bytes of the tar, hashed, and no more than these.
struct Bounded<R> {
    from: Hashed<R>,
    most: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(buffer)?;
        if self.from.length() > self.most {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than what is allowed"));
        }
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
    use crate::{entry::Content, pack::Packer};

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

    /// An archive with everything that ours have, and a sparse file as GNU writes it.
    fn sample() -> Vec<u8> {
        let entry = |path: &[u8], kind| Entry {
            path: path.to_vec(),
            kind,
            mode: 0o4755,
            uid: 3_000_000,
            gid: 7,
            changed: crate::entry::Time { seconds: -5, nanoseconds: 250_000_000 },
            attributes: vec![(b"user.note".to_vec(), b"a\nb=\0c".to_vec())],
        };
        let mut packer = Packer::new(Vec::new());
        let mut add = |entry: Entry, content: &[u8]| {
            let mut content = Plain(content);
            packer.take(&entry, &mut content).unwrap();
        };
        add(entry(b"", Kind::Directory), b"");
        add(entry(&[b'n'; 200], Kind::File(5)), b"hello");
        add(entry(b"link", Kind::Symlink(vec![b't'; 150])), b"");
        add(entry(b"hard", Kind::HardLink(vec![b'n'; 200])), b"");
        add(entry(b"disk", Kind::Block(7, 3)), b"");
        add(entry(b"gone", Kind::Whiteout), b"");
        add(entry(b"hidden", Kind::Opaque), b"");
        let (mut bytes, _) = packer.finish().unwrap();
        bytes.truncate(bytes.len() - 1024);
        let mut sparse = vec![0u8; 512];
        sparse[..6].copy_from_slice(b"sparse");
        for (at, text) in
            [(100, "0000644"), (108, "0000000"), (116, "0000000"), (124, "00000000012"), (136, "00000000000")]
        {
            sparse[at..at + text.len()].copy_from_slice(text.as_bytes());
        }
        sparse[156] = b'S';
        sparse[257..265].copy_from_slice(b"ustar  \0");
        sparse[386..397].copy_from_slice(b"00000010000");
        sparse[398..409].copy_from_slice(b"00000000012");
        sparse[483..494].copy_from_slice(b"00000020000");
        set_sum(&mut sparse);
        bytes.extend(sparse);
        bytes.extend([b'x'; 10]);
        bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
        bytes
    }

    struct Plain<'a>(&'a [u8]);

    impl io::Read for Plain<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Content for Plain<'_> {}

    fn set_sum(header: &mut [u8]) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }

    /// Keeps what it is told.
    #[derive(Default)]
    struct Keep(Vec<(Entry, Vec<u8>)>);

    impl Sink for Keep {
        fn take(&mut self, entry: &Entry, content: &mut dyn Content) -> Result<(), Error> {
            let mut bytes = Vec::new();
            content.take(1 << 20).read_to_end(&mut bytes).map_err(|error| broken(&error))?;
            self.0.push((entry.clone(), bytes));
            Ok(())
        }
    }

    #[test]
    fn what_is_packed_is_read_again_in_every_compression() {
        let bytes = sample();
        let mut plain = Keep::default();
        let digest = read(&bytes[..], Limits::default(), &mut plain).unwrap();
        let paths: Vec<_> = plain.0.iter().map(|(entry, _)| entry.path.len()).collect();
        assert_eq!(paths, [0, 200, 4, 4, 4, 4, 6, 6]);
        assert_eq!(plain.0[1].0.attributes, [(b"user.note".to_vec(), b"a\nb=\0c".to_vec())]);
        assert_eq!((plain.0[1].0.uid, plain.0[1].0.changed.nanoseconds), (3_000_000, 250_000_000));
        let (entry, content) = &plain.0[7];
        assert_eq!((&entry.kind, content.len()), (&Kind::File(8192), 8192));
        assert!(content[4096..4106] == [b'x'; 10] && content[..4096].iter().all(|byte| *byte == 0));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, &bytes).unwrap();
        for compressed in [gzip.finish().unwrap(), zstd::encode_all(&bytes[..], 1).unwrap()] {
            let mut again = Keep::default();
            assert_eq!(read(&compressed[..], Limits::default(), &mut again).unwrap(), digest);
            assert_eq!(again.0, plain.0);
            let cut = &compressed[..compressed.len() - 3];
            assert!(read(cut, Limits::default(), &mut Ignore).is_err());
        }
        for limits in
            [Limits { entries: 3, ..Limits::default() }, Limits { bytes: 4000, ..Limits::default() }]
        {
            assert!(read(&bytes[..], limits, &mut Ignore).is_err(), "{limits:?}");
        }
    }

    /// Every mutation is read to an end, without a panic and without memory or time that it asks for. The sums of
    /// headers are set right, so that what is behind them is reached.
    #[test]
    fn mutations_are_read_or_refused() {
        let whole = sample();
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let (mut good, mut bad) = (0, 0);
        for _ in 0..6_000 {
            let mut bytes = whole.clone();
            for _ in 0..=next() % 4 {
                let at = next() as usize % bytes.len();
                bytes[at] = match next() % 4 {
                    0 => next() as u8,
                    1 => b'7',
                    2 => 0xff,
                    _ => bytes[at].wrapping_add(1),
                };
                let block = at / 512 * 512;
                if bytes[block..block + 512].iter().any(|byte| *byte != 0) && next() % 8 != 0 {
                    let is_header = &bytes[block + 257..block + 262] == b"ustar";
                    if is_header {
                        set_sum(&mut bytes[block..block + 512]);
                    }
                }
            }
            let limits = Limits { entries: 100, bytes: 1 << 20 };
            match read(&bytes[..], limits, &mut Keep::default()) {
                Ok(_) => good += 1,
                Err(_) => bad += 1,
            }
        }
        println!("{good} were read, {bad} refused");
        assert!(good > 300 && bad > 300);
    }
}

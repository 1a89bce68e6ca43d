//! What messages are made of: numbers from their least significant byte on, and bytes behind their number.

use crate::MOST_NAMES;

/// A message that ends too early or too late, or has more names than there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A part of a message.
pub(crate) trait Field<'a>: Sized {
    /// Takes it from the front.
    fn take(bytes: &mut &'a [u8]) -> Result<Self, Malformed>;

    /// Adds it.
    fn put(&self, to: &mut Vec<u8>);
}

macro_rules! numbers {
    ($($number:ty),+) => {
        $(impl Field<'_> for $number {
            fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
                let (first, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
                *bytes = rest;
                Ok(<$number>::from_le_bytes(*first))
            }

            fn put(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_le_bytes());
            }
        })+
    };
}

numbers!(u8, u16, u32, u64);

fn take_bytes<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
    *bytes = rest;
    Ok(taken)
}

/// A name, or another text; at most 65535 bytes, of which none means anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a>(pub &'a [u8]);

impl<'a> Field<'a> for Text<'a> {
    fn take(bytes: &mut &'a [u8]) -> Result<Self, Malformed> {
        let length = u16::take(bytes)?;
        take_bytes(bytes, usize::from(length)).map(Text)
    }

    fn put(&self, to: &mut Vec<u8>) {
        // Nobody here has longer ones: a path of Linux ends before.
        let length = u16::try_from(self.0.len()).unwrap_or(u16::MAX);
        length.put(to);
        to.extend_from_slice(&self.0[..usize::from(length)]);
    }
}

impl<'a> Field<'a> for &'a [u8] {
    fn take(bytes: &mut &'a [u8]) -> Result<Self, Malformed> {
        let length = u32::take(bytes)?;
        take_bytes(bytes, usize::try_from(length).map_err(|_| Malformed)?)
    }

    fn put(&self, to: &mut Vec<u8>) {
        (self.len() as u32).put(to);
        to.extend_from_slice(self);
    }
}

/// The names of a walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names<'a>(pub Vec<&'a [u8]>);

impl<'a> Field<'a> for Names<'a> {
    fn take(bytes: &mut &'a [u8]) -> Result<Self, Malformed> {
        let count = usize::from(u16::take(bytes)?);
        if count > MOST_NAMES {
            return Err(Malformed);
        }
        (0..count).map(|_| Text::take(bytes).map(|text| text.0)).collect::<Result<_, _>>().map(Names)
    }

    fn put(&self, to: &mut Vec<u8>) {
        (self.0.len() as u16).put(to);
        self.0.iter().for_each(|name| Text(name).put(to));
    }
}

/// By what a client knows a file from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qid {
    /// What it is ([`crate::kind`]).
    pub kind: u8,
    /// Another number when the file has changed.
    pub version: u32,
    /// The file.
    pub path: u64,
}

impl Field<'_> for Qid {
    fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        Ok(Qid { kind: u8::take(bytes)?, version: u32::take(bytes)?, path: u64::take(bytes)? })
    }

    fn put(&self, to: &mut Vec<u8>) {
        self.kind.put(to);
        self.version.put(to);
        self.path.put(to);
    }
}

/// What a walk has come by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Qids(pub Vec<Qid>);

impl Field<'_> for Qids {
    fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let count = usize::from(u16::take(bytes)?);
        if count > MOST_NAMES {
            return Err(Malformed);
        }
        (0..count).map(|_| Qid::take(bytes)).collect::<Result<_, _>>().map(Qids)
    }

    fn put(&self, to: &mut Vec<u8>) {
        (self.0.len() as u16).put(to);
        self.0.iter().for_each(|qid| qid.put(to));
    }
}

/// What is known of a file. Times are seconds and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what stat calls them")]
pub struct About {
    pub mode: u32,
    pub user: u32,
    pub group: u32,
    pub links: u64,
    pub device: u64,
    pub size: u64,
    pub block_size: u64,
    pub blocks: u64,
    pub accessed: [u64; 2],
    pub modified: [u64; 2],
    pub changed: [u64; 2],
    pub born: [u64; 2],
    pub generation: u64,
    pub data_version: u64,
}

impl Field<'_> for [u64; 2] {
    fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        Ok([u64::take(bytes)?, u64::take(bytes)?])
    }

    fn put(&self, to: &mut Vec<u8>) {
        self.iter().for_each(|number| number.put(to));
    }
}

impl Field<'_> for About {
    fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        Ok(About {
            mode: u32::take(bytes)?,
            user: u32::take(bytes)?,
            group: u32::take(bytes)?,
            links: u64::take(bytes)?,
            device: u64::take(bytes)?,
            size: u64::take(bytes)?,
            block_size: u64::take(bytes)?,
            blocks: u64::take(bytes)?,
            accessed: <[u64; 2]>::take(bytes)?,
            modified: <[u64; 2]>::take(bytes)?,
            changed: <[u64; 2]>::take(bytes)?,
            born: <[u64; 2]>::take(bytes)?,
            generation: u64::take(bytes)?,
            data_version: u64::take(bytes)?,
        })
    }

    fn put(&self, to: &mut Vec<u8>) {
        [self.mode, self.user, self.group].iter().for_each(|number| number.put(to));
        [self.links, self.device, self.size, self.block_size, self.blocks]
            .iter()
            .for_each(|number| number.put(to));
        [self.accessed, self.modified, self.changed, self.born].iter().for_each(|time| time.put(to));
        [self.generation, self.data_version].iter().for_each(|number| number.put(to));
    }
}

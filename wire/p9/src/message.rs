//! The messages: what they are and what they have, in the order of the wire.

use crate::{
    HEADER,
    field::{About, Field, Malformed, Names, Qid, Qids, Text},
};

/// Why a message says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// This version has no such message.
    Unknown,
    /// It has another form.
    Malformed,
}

impl From<Malformed> for Unreadable {
    fn from(_: Malformed) -> Unreadable {
        Unreadable::Malformed
    }
}

macro_rules! messages {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $( $(#[$doc:meta])* $variant:ident = $kind:literal { $($field:ident: $type:ty),* $(,)? } )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the members are called what the protocol calls them")]
        pub enum $name<'a> {
            $( $(#[$doc])* $variant { $($field: $type),* }, )+
        }

        impl<'a> $name<'a> {
            /// Reads one of this kind. It must be all that there is.
            pub fn read(kind: u8, body: &'a [u8]) -> Result<Self, Unreadable> {
                let mut rest = body;
                let message = match kind {
                    $( $kind => $name::$variant { $($field: Field::take(&mut rest)?),* }, )+
                    _ => return Err(Unreadable::Unknown),
                };
                if rest.is_empty() { Ok(message) } else { Err(Unreadable::Malformed) }
            }

            /// Adds it to what is to be sent.
            pub fn put(&self, tag: u16, to: &mut Vec<u8>) {
                let begin = to.len();
                to.extend_from_slice(&[0; HEADER]);
                let kind: u8 = match self {
                    $( $name::$variant { $($field),* } => {
                        $( $field.put(to); )*
                        $kind
                    } )+
                };
                let length = (to.len() - begin) as u32;
                to[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
                to[begin + 4] = kind;
                to[begin + 5..begin + HEADER].copy_from_slice(&tag.to_le_bytes());
            }
        }
    };
}

messages! {
    /// What a client asks.
    pub enum Request {
        /// How much is known of the file system behind a file.
        Statfs = 8 { fid: u32 }
        /// Opens what was walked to.
        Lopen = 12 { fid: u32, flags: u32 }
        /// Makes a file in a folder, and opens it; the folder's number is the file's from then on.
        Lcreate = 14 { fid: u32, name: Text<'a>, flags: u32, mode: u32, gid: u32 }
        /// Makes a symbolic link.
        Symlink = 16 { fid: u32, name: Text<'a>, target: Text<'a>, gid: u32 }
        /// Makes a pipe, a socket, a device.
        Mknod = 18 { fid: u32, name: Text<'a>, mode: u32, major: u32, minor: u32, gid: u32 }
        /// Where a symbolic link leads.
        Readlink = 22 { fid: u32 }
        /// What is known of a file.
        Getattr = 24 { fid: u32, mask: u64 }
        /// Changes what is known of it.
        Setattr = 26 {
            fid: u32, valid: u32, mode: u32, uid: u32, gid: u32, size: u64, accessed: [u64; 2], modified: [u64; 2],
        }
        /// The names in a folder, from behind this place on.
        Readdir = 40 { fid: u32, offset: u64, count: u32 }
        /// Has a file written to its disk.
        Fsync = 50 { fid: u32, data_only: u32 }
        /// Locks a part of a file, or lets it go.
        Lock = 52 { fid: u32, kind: u8, flags: u32, start: u64, length: u64, process: u32, client: Text<'a> }
        /// Who has locked it.
        Getlock = 54 { fid: u32, kind: u8, start: u64, length: u64, process: u32, client: Text<'a> }
        /// Gives a file another name, in this folder.
        Link = 70 { folder: u32, fid: u32, name: Text<'a> }
        /// Makes a folder.
        Mkdir = 72 { fid: u32, name: Text<'a>, mode: u32, gid: u32 }
        /// Moves what is in a folder to another.
        Renameat = 74 { from: u32, old: Text<'a>, to: u32, new: Text<'a> }
        /// Removes what is in a folder.
        Unlinkat = 76 { fid: u32, name: Text<'a>, flags: u32 }
        /// Begins anew, with this dialect and limit.
        Version = 100 { msize: u32, version: Text<'a> }
        /// Wants to say who it is.
        Auth = 102 { afid: u32, user: Text<'a>, name: Text<'a>, uid: u32 }
        /// The root of what has this name, for this user.
        Attach = 104 { fid: u32, afid: u32, user: Text<'a>, name: Text<'a>, uid: u32 }
        /// Is not interested in the reply to that any more.
        Flush = 108 { tag: u16 }
        /// Goes from a file along these names; where that ends is called by the other number.
        Walk = 110 { fid: u32, new_fid: u32, names: Names<'a> }
        /// Reads.
        Read = 116 { fid: u32, offset: u64, count: u32 }
        /// Writes.
        Write = 118 { fid: u32, offset: u64, data: &'a [u8] }
        /// Needs a number no more.
        Clunk = 120 { fid: u32 }
        /// The same, and removes the file.
        Remove = 122 { fid: u32 }
    }
}

messages! {
    /// What a server replies.
    pub enum Reply {
        /// It has failed, with this number of Linux.
        Error = 7 { code: u32 }
        Statfs = 9 {
            kind: u32, block_size: u32, blocks: u64, free: u64, available: u64, files: u64, free_files: u64, id: u64,
            longest_name: u32,
        }
        Lopen = 13 { qid: Qid, unit: u32 }
        Lcreate = 15 { qid: Qid, unit: u32 }
        Symlink = 17 { qid: Qid }
        Mknod = 19 { qid: Qid }
        Readlink = 23 { target: Text<'a> }
        Getattr = 25 { valid: u64, qid: Qid, about: About }
        Setattr = 27 {}
        /// Each entry is what [`Entry`] writes.
        Readdir = 41 { data: &'a [u8] }
        Fsync = 51 {}
        Lock = 53 { status: u8 }
        Getlock = 55 { kind: u8, start: u64, length: u64, process: u32, client: Text<'a> }
        Link = 71 {}
        Mkdir = 73 { qid: Qid }
        Renameat = 75 {}
        Unlinkat = 77 {}
        Version = 101 { msize: u32, version: Text<'a> }
        Attach = 105 { qid: Qid }
        Flush = 109 {}
        Walk = 111 { qids: Qids }
        Read = 117 { data: &'a [u8] }
        Write = 119 { count: u32 }
        Clunk = 121 {}
    }
}

/// A name in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The file.
    pub qid: Qid,
    /// The place behind it.
    pub offset: u64,
    /// What it is, as folders of Linux tell it.
    pub kind: u8,
    /// Its name.
    pub name: &'a [u8],
}

impl<'a> Entry<'a> {
    /// How long it is when it is written.
    pub fn length(&self) -> usize {
        13 + 8 + 1 + 2 + self.name.len()
    }

    /// Adds it.
    pub fn put(&self, to: &mut Vec<u8>) {
        self.qid.put(to);
        self.offset.put(to);
        self.kind.put(to);
        Text(self.name).put(to);
    }

    /// Takes one from the front.
    pub fn take(bytes: &mut &'a [u8]) -> Result<Entry<'a>, Malformed> {
        Ok(Entry {
            qid: Field::take(bytes)?,
            offset: Field::take(bytes)?,
            kind: Field::take(bytes)?,
            name: Text::take(bytes)?.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Frames, MOST_NAMES};

    fn whole(message: &[u8]) -> (u8, u16, Vec<u8>) {
        let mut frames = Frames::new(1 << 20);
        frames.push(message);
        let found = frames.take().unwrap().unwrap();
        (found.kind, found.tag, found.body.to_vec())
    }

    /// By hand, from the description of the protocol.
    #[test]
    fn messages_are_what_they_are_on_the_wire() {
        let mut bytes = Vec::new();
        Request::Version { msize: 8192, version: Text(b"9P2000.L") }.put(0xffff, &mut bytes);
        assert_eq!(bytes, b"\x15\0\0\0\x64\xff\xff\0\x20\0\0\x08\09P2000.L");
        bytes.clear();
        Request::Walk { fid: 1, new_fid: 2, names: Names(vec![b"a", b"bc"]) }.put(3, &mut bytes);
        assert_eq!(bytes, b"\x18\0\0\0\x6e\x03\0\x01\0\0\0\x02\0\0\0\x02\0\x01\0a\x02\0bc");
        bytes.clear();
        Reply::Walk { qids: Qids(vec![Qid { kind: 0x80, version: 1, path: 2 }]) }.put(3, &mut bytes);
        assert_eq!(bytes, b"\x16\0\0\0\x6f\x03\0\x01\0\x80\x01\0\0\0\x02\0\0\0\0\0\0\0");
        bytes.clear();
        Reply::Getattr { valid: 0x7ff, qid: Qid { kind: 0, version: 0, path: 0 }, about: About::default() }
            .put(1, &mut bytes);
        assert_eq!(bytes.len(), 160);
        bytes.clear();
        Reply::Read { data: b"xyz" }.put(4, &mut bytes);
        assert_eq!(bytes, b"\x0e\0\0\0\x75\x04\0\x03\0\0\0xyz");
    }

    #[test]
    fn a_walk_has_no_more_names_than_there_can_be() {
        let walk = |count: usize| {
            let mut bytes = Vec::new();
            Request::Walk { fid: 0, new_fid: 1, names: Names(vec![b"n".as_slice(); count]) }
                .put(0, &mut bytes);
            let (kind, _, body) = whole(&bytes);
            Request::read(kind, &body).is_ok()
        };
        assert!(walk(MOST_NAMES));
        assert!(!walk(MOST_NAMES + 1));
    }

    #[test]
    fn what_is_too_short_or_too_long_says_nothing() {
        let mut bytes = Vec::new();
        Request::Write { fid: 1, offset: 2, data: b"data" }.put(0, &mut bytes);
        let (kind, _, body) = whole(&bytes);
        assert!(Request::read(kind, &body).is_ok());
        for length in 0..body.len() {
            assert_eq!(Request::read(kind, &body[..length]), Err(Unreadable::Malformed), "{length}");
        }
        let longer = [&body[..], b"x"].concat();
        assert_eq!(Request::read(kind, &longer), Err(Unreadable::Malformed));
        assert_eq!(Request::read(1, &[]), Err(Unreadable::Unknown));
        assert_eq!(Request::read(7, &[0; 4]), Err(Unreadable::Unknown));
    }

    #[test]
    fn an_entry_is_as_long_as_it_says() {
        let entry = Entry { qid: Qid { kind: 1, version: 2, path: 3 }, offset: 4, kind: 8, name: b"name" };
        let mut bytes = Vec::new();
        entry.put(&mut bytes);
        assert_eq!(bytes.len(), entry.length());
        let mut rest = &bytes[..];
        assert_eq!(Entry::take(&mut rest), Ok(entry));
        assert!(rest.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_as_it_was(kind: u8, body in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(request) = Request::read(kind, &body) {
                let mut bytes = Vec::new();
                request.put(9, &mut bytes);
                prop_assert_eq!(whole(&bytes), (kind, 9, body.clone()));
            }
            if let Ok(reply) = Reply::read(kind, &body) {
                let mut bytes = Vec::new();
                reply.put(9, &mut bytes);
                prop_assert_eq!(whole(&bytes), (kind, 9, body.clone()));
            }
        }
    }
}

//! 9P2000.L, the file protocol that kernels of Linux speak over any stream: what a client asks and a server replies, as bytes
//! and back. Nothing here knows a file or a socket.
//!
//! - [`Frames`] finds whole messages in the bytes that come.
//! - [`Request`] and [`Reply`] are what they say. Either side can be read and written, so a test can be the other one.
//!
//! Names and paths are bytes. A message is at most as long as both sides have agreed (`msize`), so a reader never holds more.
#![forbid(unsafe_code)]

mod field;
mod frames;
mod message;

pub use field::{About, Malformed, Names, Qid, Qids, Text};
pub use frames::{Frames, Message, NotAMessage};
pub use message::{Entry, Reply, Request, Unreadable};

/// What every message begins with: its length, what it is, and the number by which its reply is known.
pub const HEADER: usize = 7;

/// The most that is around the bytes of a file in any message.
pub const AROUND_DATA: u32 = 24;

/// The least that two sides may agree on: a message with a long name in it.
pub const LEAST: u32 = 4096;

/// The dialect.
pub const VERSION: &[u8] = b"9P2000.L";

/// The answer to one who wants another dialect.
pub const UNKNOWN_VERSION: &[u8] = b"unknown";

/// No file.
pub const NO_FID: u32 = u32::MAX;

/// No user.
pub const NO_USER: u32 = u32::MAX;

/// The most names in one walk.
pub const MOST_NAMES: usize = 16;

/// Bits of [`Request::Lopen`] and [`Request::Lcreate`]. They are those of Linux on x86, whatever both sides run on.
pub mod open {
    /// How it is accessed: 0 is reading, 1 writing, 2 both.
    pub const ACCESS: u32 = 0o3;
    /// It must not be there yet.
    pub const EXCLUSIVE: u32 = 0o200;
    /// What it has is thrown away.
    pub const TRUNCATE: u32 = 0o1000;
    /// What is written is added.
    pub const APPEND: u32 = 0o2000;
    /// Data is on the disk when it is written.
    pub const DATA_SYNC: u32 = 0o10000;
    /// Data and what is known of the file is.
    pub const SYNC: u32 = 0o4000000;
}

/// Bits of [`Request::Setattr`]: what is to be changed.
pub mod set {
    /// The mode.
    pub const MODE: u32 = 0x1;
    /// The owner.
    pub const USER: u32 = 0x2;
    /// The group.
    pub const GROUP: u32 = 0x4;
    /// The length.
    pub const SIZE: u32 = 0x8;
    /// When it was read: now, unless [`ACCESSED_AT`] says otherwise.
    pub const ACCESSED: u32 = 0x10;
    /// When it was written: now, unless [`MODIFIED_AT`] says otherwise.
    pub const MODIFIED: u32 = 0x20;
    /// It was read at the time that is given.
    pub const ACCESSED_AT: u32 = 0x80;
    /// It was written at the time that is given.
    pub const MODIFIED_AT: u32 = 0x100;
}

/// Bits of [`Reply::Getattr`]: what is known of a file.
pub mod known {
    /// What every file has, from its mode to its times.
    pub const BASIC: u64 = 0x7ff;
    /// When it was made.
    pub const BIRTH: u64 = 0x800;
}

/// What a [`Qid`] is of.
pub mod kind {
    /// A folder.
    pub const FOLDER: u8 = 0x80;
    /// A symbolic link.
    pub const LINK: u8 = 0x02;
    /// Anything else.
    pub const FILE: u8 = 0;
}

/// The flag of [`Request::Unlinkat`]: it is a folder.
pub const REMOVE_FOLDER: u32 = 0x200;

/// The answer of [`Reply::Lock`]: it is locked.
pub const LOCKED: u8 = 0;

/// The kind of a lock that is none.
pub const UNLOCKED: u8 = 2;

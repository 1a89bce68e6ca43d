//! The names in a folder, as a guest reads them: some at a time, from the place on that it has come to.

use std::{mem::MaybeUninit, os::fd::OwnedFd};

use hcs_p9::Entry;
use rustix::{
    fs::{FileType, RawDir, SeekFrom},
    io::Errno,
};

use crate::{object::Object, place::about};

/// How much is read of a folder at once.
const PIECE: usize = 16 << 10;

/// Adds the names in a folder that is open, from behind this place on; at most so many bytes of them.
pub fn list(
    folder: &Object,
    opened: &OwnedFd,
    offset: u64,
    most: usize,
    to: &mut Vec<u8>,
) -> Result<(), Errno> {
    use std::os::fd::AsFd;
    let of_folder = about(opened.as_fd())?;
    if FileType::from_raw_mode(u32::from(of_folder.stx_mode)) != FileType::Directory {
        return Err(Errno::NOTDIR);
    }
    rustix::fs::seek(opened, SeekFrom::Start(offset))?;
    let mut buffer = [MaybeUninit::uninit(); PIECE];
    let mut entries = RawDir::new(opened, &mut buffer);
    while let Some(found) = entries.next() {
        let found = match found {
            // What has been read is not lost: it fails the next time.
            Err(_) if !to.is_empty() => break,
            found => found?,
        };
        let name = found.file_name().to_bytes();
        // What is above is not told, not even by a number.
        let (inode, kind) = match name {
            b"." | b".." => (of_folder.stx_ino, FileType::Directory),
            _ => (found.ino(), found.file_type()),
        };
        let entry = Entry {
            qid: folder.qid_in(&of_folder, inode, kind),
            offset: found.next_entry_cookie(),
            kind: number_of(kind),
            name,
        };
        if to.len() + entry.length() > most {
            // A client that takes not even one could never go on.
            return if to.is_empty() { Err(Errno::INVAL) } else { Ok(()) };
        }
        entry.put(to);
    }
    Ok(())
}

/// As folders of Linux tell it.
fn number_of(kind: FileType) -> u8 {
    match kind {
        FileType::Fifo => 1,
        FileType::CharacterDevice => 2,
        FileType::Directory => 4,
        FileType::BlockDevice => 6,
        FileType::RegularFile => 8,
        FileType::Symlink => 10,
        FileType::Socket => 12,
        FileType::Unknown => 0,
    }
}

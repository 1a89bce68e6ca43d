//! `.vmgs`: what the firmware of a machine and its trusted platform module remember, in the form that others read too.
//!
//! ```text
//!   a fixed VHD of 4 MiB: blocks of 4096 bytes, behind them the footer
//!   block 0   two headers, at 0 and at 512; the younger one that is whole is in force
//!   block 2…  a table of 64 files, a second one for keys, and the files
//! ```
//!
//! Nothing that is in force is written over. What is new goes to free blocks, and the other header, one sector, makes it so.
//! Encrypted files are not read: who opens them has keys that nobody gives us.

use std::{
    fs::{File, OpenOptions},
    io,
    ops::RangeInclusive,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use hcs_core::{Cause, Error};
use hcs_disks::vhd::{self, Footer};

use crate::fields::{long, word};

const BLOCK: u64 = 4096;
const SECTOR: u64 = 512;
const HEADER: usize = 168;
const SIGNATURE: &[u8; 8] = b"GUESTRTS";
const VERSION: u32 = 0x0003_0000;
const ENTRY: usize = 64;
const ENTRIES: usize = 64;
/// The size of a new one.
const SIZE: u64 = 4 << 20;
/// The sizes of those that are read.
const SIZES: RangeInclusive<u64> = 4 * BLOCK..=4 << 30;
/// The most that is read of a file.
const LARGEST: u64 = 4 << 20;

/// What a file is for, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The variables of UEFI.
    Variables = 1,
    /// What the trusted platform module remembers.
    Tpm = 3,
}

const TABLE: usize = 0;
const KEYS: usize = 63;

/// An open file of this form.
#[derive(Debug)]
pub struct GuestState {
    file: File,
    /// How many blocks there are.
    blocks: u64,
    sequence: u32,
    /// Which header is in force.
    slot: u64,
    files: [Place; ENTRIES],
}

/// Where a file is. Without blocks there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    block: u32,
    blocks: u32,
    length: u64,
}

fn wrong(detail: impl Into<String>) -> Error {
    Error::new(Cause::InvalidData, detail)
}

fn failed(error: io::Error) -> Error {
    Error::from_io(&error, "using the guest state file")
}

/// Makes one in which nothing is remembered. One that is there stays as it is.
pub fn create_empty(path: &Path) -> Result<(), Error> {
    let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    let file = made.map_err(|error| Error::from_io(&error, format!("making the file {}", path.display())))?;
    let write = || {
        vhd::make_fixed(&file, SIZE)?;
        let mut state = GuestState {
            file: file.try_clone()?,
            blocks: SIZE / BLOCK,
            sequence: 0,
            slot: 1,
            files: [Place::default(); ENTRIES],
        };
        state.format()
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(path);
        Error::from_io(&error, format!("writing the file {}", path.display()))
    })
}

impl GuestState {
    /// Opens one. One that was never written to is made ready, if it can be written.
    pub fn open(file: File, writable: bool) -> Result<GuestState, Error> {
        let size = data_size(&file)?;
        let mut sectors = [0; 2 * SECTOR as usize];
        file.read_exact_at(&mut sectors, 0).map_err(failed)?;
        let (first, second) = sectors.split_at(SECTOR as usize);
        if second.starts_with(b"EFI PART") {
            return Err(Error::new(Cause::NotSupported, "it has the form of version 1, which is not read"));
        }
        let mut state = GuestState {
            file,
            blocks: size / BLOCK,
            sequence: 0,
            slot: 1,
            files: [Place::default(); ENTRIES],
        };
        if first[..HEADER].iter().chain(&second[..HEADER]).all(|byte| *byte == 0) {
            if writable {
                state.format().map_err(failed)?;
            }
            return Ok(state);
        }
        let headers = [Header::read(first), Header::read(second)];
        let (slot, header) = match headers {
            [Ok(first), Ok(second)] if first.sequence == second.sequence.wrapping_add(1) => (0, first),
            [Ok(first), Ok(second)] if second.sequence == first.sequence.wrapping_add(1) => (1, second),
            [Ok(_), Ok(_)] => return Err(wrong("its two headers are not of one history")),
            [Ok(first), Err(_)] => (0, first),
            [Err(_), Ok(second)] => (1, second),
            [Err(error), Err(_)] => return Err(error),
        };
        state.slot = slot;
        state.sequence = header.sequence;
        state.read_table(header.table)?;
        Ok(state)
    }

    fn read_table(&mut self, block: u32) -> Result<(), Error> {
        let at = u64::from(block) * BLOCK;
        if u64::from(block) >= self.blocks {
            return Err(wrong("its table is behind its end"));
        }
        let mut table = vec![0; BLOCK as usize];
        self.file.read_exact_at(&mut table, at).map_err(failed)?;
        for (place, entry) in self.files.iter_mut().zip(table.chunks_exact(ENTRY)) {
            *place = Place { block: word(entry, 0), blocks: word(entry, 4), length: long(entry, 8) };
        }
        if self.files[TABLE] != (Place { block, blocks: 1, length: BLOCK }) {
            return Err(wrong("its table does not know where it is"));
        }
        let mut taken: Vec<(u64, u64)> = Vec::new();
        for place in self.files.iter().filter(|place| place.blocks > 0) {
            let (begin, end) = (u64::from(place.block), u64::from(place.block) + u64::from(place.blocks));
            if begin < 2 || end > self.blocks || place.length > u64::from(place.blocks) * BLOCK {
                return Err(wrong("a file of it is behind its end"));
            }
            taken.push((begin, end));
        }
        taken.sort_unstable();
        match taken.windows(2).any(|pair| pair[1].0 < pair[0].1) {
            true => Err(wrong("two files of it share blocks")),
            false => Ok(()),
        }
    }

    /// What is remembered; `None` if that is nothing.
    pub fn read(&self, content: Content) -> Result<Option<Vec<u8>>, Error> {
        let place = self.files[content as usize];
        if place.blocks == 0 {
            return Ok(None);
        }
        if place.length > LARGEST {
            return Err(wrong(format!("a file of it has {} bytes, which is too much", place.length)));
        }
        let mut bytes = vec![0; place.length as usize];
        self.file.read_exact_at(&mut bytes, u64::from(place.block) * BLOCK).map_err(failed)?;
        Ok(Some(bytes))
    }

    /// Remembers something instead of what was remembered before.
    pub fn write(&mut self, content: Content, bytes: &[u8]) -> Result<(), Error> {
        let mut files = self.files;
        let mut taken: Vec<(u32, u32)> = self
            .files
            .iter()
            .filter(|place| place.blocks > 0)
            .map(|place| (place.block, place.blocks))
            .collect();
        let mut take = |length: u64| -> Result<Place, Error> {
            let blocks = length.div_ceil(BLOCK).max(1) as u32;
            let block = self
                .free(&taken, blocks)
                .ok_or_else(|| Error::new(Cause::DiskFull, "there is no room in the guest state file"))?;
            taken.push((block, blocks));
            Ok(Place { block, blocks, length })
        };
        files[TABLE] = take(BLOCK)?;
        files[content as usize] = take(bytes.len() as u64)?;
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(SECTOR as usize), 0);
        self.file.write_all_at(&padded, u64::from(files[content as usize].block) * BLOCK).map_err(failed)?;
        self.commit(files).map_err(failed)
    }

    /// The smallest hole that is large enough, the first of several.
    fn free(&self, taken: &[(u32, u32)], blocks: u32) -> Option<u32> {
        let mut taken = taken.to_vec();
        taken.push((u32::try_from(self.blocks).ok()?, 0));
        taken.sort_unstable();
        let mut best: Option<(u32, u32)> = None;
        let mut begin = 2;
        for (block, length) in taken {
            let size = block.saturating_sub(begin);
            if size >= blocks && best.is_none_or(|(smallest, _)| size < smallest) {
                best = Some((size, begin));
            }
            begin = begin.max(block + length);
        }
        best.map(|(_, begin)| begin)
    }

    fn format(&mut self) -> io::Result<()> {
        let mut files = [Place::default(); ENTRIES];
        files[TABLE] = Place { block: 2, blocks: 1, length: BLOCK };
        files[KEYS] = Place { block: 3, blocks: 1, length: BLOCK };
        self.file.write_all_at(&[0; BLOCK as usize], 3 * BLOCK)?;
        self.commit(files)
    }

    /// Makes these the files.
    fn commit(&mut self, files: [Place; ENTRIES]) -> io::Result<()> {
        let mut table = vec![0; BLOCK as usize];
        for (entry, place) in table.chunks_exact_mut(ENTRY).zip(&files) {
            entry[..4].copy_from_slice(&place.block.to_le_bytes());
            entry[4..8].copy_from_slice(&place.blocks.to_le_bytes());
            entry[8..16].copy_from_slice(&place.length.to_le_bytes());
        }
        let block = files[TABLE].block;
        self.file.write_all_at(&table, u64::from(block) * BLOCK)?;
        self.file.sync_data()?;
        let (sequence, slot) = (self.sequence.wrapping_add(1), 1 - self.slot);
        let mut sector = [0; SECTOR as usize];
        sector[..HEADER].copy_from_slice(&Header { sequence, table: block }.bytes());
        self.file.write_all_at(&sector, slot * SECTOR)?;
        self.file.sync_data()?;
        self.sequence = sequence;
        self.slot = slot;
        self.files = files;
        Ok(())
    }
}

/// What of a header is ours to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    sequence: u32,
    table: u32,
}

impl Header {
    fn bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(SIGNATURE);
        for (at, value) in [(8, VERSION), (16, self.sequence), (20, HEADER as u32), (24, self.table), (28, 1)]
        {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        let sum = crc32fast::hash(&bytes);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn read(sector: &[u8]) -> Result<Header, Error> {
        let mut bytes = sector[..HEADER].to_vec();
        if !bytes.starts_with(SIGNATURE) {
            return Err(wrong("it is no guest state file"));
        }
        if word(&bytes, 8) != VERSION {
            let detail = format!("it has the version {:#x}, and {VERSION:#x} is read", word(&bytes, 8));
            return Err(Error::new(Cause::NotSupported, detail));
        }
        let sum = word(&bytes, 12);
        bytes[12..16].fill(0);
        if !sums_agree(crc32fast::hash(&bytes), sum)
            || word(&bytes, 20) != HEADER as u32
            || word(&bytes, 28) != 1
        {
            return Err(wrong("its header is damaged"));
        }
        if bytes[32..34] != [0, 0] {
            return Err(Error::new(Cause::NotSupported, "it is encrypted, and nobody has given a key"));
        }
        match word(&bytes, 24) {
            0 | 1 => Err(wrong("its header is damaged")),
            table => Ok(Header { sequence: word(&bytes, 16), table }),
        }
    }
}

/// A fuzzer finds no checksums, and there is something behind them.
fn sums_agree(one: u32, other: u32) -> bool {
    one == other || cfg!(fuzzing)
}

/// How many bytes of a fixed VHD are the disk.
fn data_size(file: &File) -> Result<u64, Error> {
    let length = file.metadata().map_err(failed)?.len();
    if length < vhd::FOOTER || !length.is_multiple_of(SECTOR) {
        return Err(wrong(format!("it has {length} bytes, which no guest state file has")));
    }
    let mut footer = [0; vhd::FOOTER as usize];
    file.read_exact_at(&mut footer, length - vhd::FOOTER).map_err(failed)?;
    match vhd::read(&footer, length)? {
        Some(Footer::Fixed { size }) if SIZES.contains(&size) && size.is_multiple_of(SECTOR) => Ok(size),
        Some(Footer::Fixed { .. }) => Err(wrong("its footer says that it has another size")),
        _ => Err(wrong("it is no guest state file: it has not the footer of one")),
    }
}

#[cfg(test)]
#[path = "guest_tests.rs"]
mod tests;

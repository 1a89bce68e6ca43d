//! Partition tables: one partition over the whole disk is written, the first one for Linux is found.
//!
//! It is own code because it is a page of it; the crate for it brings five others along.

use std::{fs::File, os::unix::fs::FileExt};

use hcs_core::{Error, random};
use hcs_schema::Guid;

use crate::{checksum::crc32, failure, guid};

const SECTOR: u64 = 512;
/// Where partitions begin, and what is left free at the end: a mebibyte, as all tools have it.
const MARGIN: u64 = 1 << 20;
const ENTRY: usize = 128;
const ENTRIES: usize = 128;
const TABLE: usize = ENTRY * ENTRIES;
const TABLE_SECTORS: u64 = TABLE as u64 / SECTOR;

const LINUX: [u8; 16] = guid::from_digits(0x0FC63DAF_8483_4772_8E79_3D69D8477DE4);

/// A part of a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Where it begins.
    pub start: u64,
    /// How long it is.
    pub length: u64,
}

/// Writes a table with one partition for Linux.
pub fn write(disk: &File, size: u64) -> Result<Partition, Error> {
    let sectors = size / SECTOR;
    let partition = Partition { start: MARGIN, length: (size / MARGIN).saturating_sub(2) * MARGIN };
    if partition.length == 0 {
        return Err(failure::invalid(format!("the disk has {size} bytes, too few for a partition")));
    }
    let mut table = vec![0; TABLE];
    table[..16].copy_from_slice(&LINUX);
    table[16..32].copy_from_slice(&guid::stored(&random::guid()));
    let (first, last) = (partition.start / SECTOR, (partition.start + partition.length) / SECTOR - 1);
    table[32..40].copy_from_slice(&first.to_le_bytes());
    table[40..48].copy_from_slice(&last.to_le_bytes());
    let id = random::guid();
    let header = |own, other, table_at| header(sectors, &id, &table, own, other, table_at);
    let backup = sectors - 1 - TABLE_SECTORS;
    let failed = |error: std::io::Error| Error::from_io(&error, "writing the partition table");
    let write = |bytes: &[u8], sector: u64| disk.write_all_at(bytes, sector * SECTOR).map_err(failed);
    write(&table, backup)?;
    write(&header(sectors - 1, 1, backup), sectors - 1)?;
    write(&protection(sectors), 0)?;
    write(&table, 2)?;
    write(&header(1, sectors - 1, 2), 1)?;
    Ok(partition)
}

fn header(sectors: u64, id: &Guid, table: &[u8], own: u64, other: u64, table_at: u64) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"EFI PART");
    put(8, &0x0001_0000u32.to_le_bytes());
    put(12, &(HEADER as u32).to_le_bytes());
    put(24, &own.to_le_bytes());
    put(32, &other.to_le_bytes());
    put(40, &(2 + TABLE_SECTORS).to_le_bytes());
    put(48, &(sectors - 2 - TABLE_SECTORS).to_le_bytes());
    put(56, &guid::stored(id));
    put(72, &table_at.to_le_bytes());
    put(80, &(ENTRIES as u32).to_le_bytes());
    put(84, &(ENTRY as u32).to_le_bytes());
    put(88, &crc32(table).to_le_bytes());
    let sum = crc32(&header[..HEADER]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    header
}

const HEADER: usize = 92;

/// A table of the old kind that says that everything is taken, for tools that know no other.
fn protection(sectors: u64) -> [u8; 512] {
    let mut sector = [0; 512];
    let length = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    sector[446..462].copy_from_slice(&[0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0, 0, 0, 0]);
    sector[458..462].copy_from_slice(&length.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xAA]);
    sector
}

/// Finds the first partition for Linux. The whole disk is one if it has no table.
pub fn find(disk: &File, size: u64) -> Result<Partition, Error> {
    let whole = Partition { start: 0, length: size };
    if size < MARGIN {
        return Ok(whole);
    }
    let mut header = [0; 512];
    let failed = |error: std::io::Error| Error::from_io(&error, "reading the partition table");
    disk.read_exact_at(&mut header, SECTOR).map_err(failed)?;
    if !header.starts_with(b"EFI PART") {
        return Ok(whole);
    }
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let long = |at: usize| u64::from(number(at + 4)) << 32 | u64::from(number(at));
    let damaged = || failure::invalid("the partition table of the disk is damaged");
    let length = number(12) as usize;
    let mut summed =
        *header.get(..length).ok_or_else(damaged)?.first_chunk::<HEADER>().ok_or_else(damaged)?;
    summed[16..20].fill(0);
    let rest = &header[HEADER..length];
    // A fuzzer cannot know the sums, and would get no further.
    if crc32(&[&summed[..], rest].concat()) != number(16) && !cfg!(fuzzing) {
        return Err(damaged());
    }
    let (count, entry) = (number(80) as usize, number(84) as usize);
    // As many as all tools make; a larger table is nothing that is met, and its size is a stranger's word.
    if count > ENTRIES || !(ENTRY..=4096).contains(&entry) {
        return Err(damaged());
    }
    let mut table = vec![0; count * entry];
    let at = long(72).checked_mul(SECTOR).filter(|at| *at < size).ok_or_else(damaged)?;
    disk.read_exact_at(&mut table, at).map_err(failed)?;
    if crc32(&table) != number(88) && !cfg!(fuzzing) {
        return Err(damaged());
    }
    let found = table.chunks_exact(entry).find(|entry| entry[..16] == LINUX);
    let found = found.ok_or_else(|| failure::invalid("the disk has no partition for Linux"))?;
    let sector = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&found[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let (first, last) = (sector(32), sector(40));
    let end = last.checked_add(1).and_then(|end| end.checked_mul(SECTOR)).filter(|end| *end <= size);
    match (first.checked_mul(SECTOR), end) {
        (Some(start), Some(end)) if start < end => Ok(Partition { start, length: end - start }),
        _ => Err(damaged()),
    }
}

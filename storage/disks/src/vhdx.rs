//! The format VHDX, as far as making an empty disk goes. What is in one is read and written by `qemu-storage-daemon`.
//!
//! ```text
//!   0      what the file is      192 K  which regions there are    1 M  log (empty)
//!   64 K   header                256 K  the same again             2 M  metadata: size, blocks, sectors, id
//!   128 K  header, newer                                           3 M  where each block is (nowhere yet)
//! ```

use std::{fs::File, os::unix::fs::FileExt};

use hcs_core::random;

use crate::{checksum::crc32c, guid};

/// How a file of this format begins.
pub const MAGIC: &[u8] = b"vhdxfile";
/// The largest disk of the format.
pub const LARGEST: u64 = 64 << 40;

const KIB: usize = 1 << 10;
const MIB: u64 = 1 << 20;
/// Linux file systems write small things far apart, so blocks are as small as they may be, as long as the table is.
const BLOCK: u64 = MIB;
const LARGE_BLOCK: u64 = 32 * MIB;
const SMALL_DISK: u64 = 4 << 40;
const LOGICAL_SECTOR: u32 = 512;
const PHYSICAL_SECTOR: u32 = 4096;

const METADATA: u64 = 2 * MIB;
const TABLE: u64 = 3 * MIB;

/// Makes one of a file that is empty.
pub fn make(file: &File, size: u64) -> std::io::Result<()> {
    let block = if size <= SMALL_DISK { BLOCK } else { LARGE_BLOCK };
    let table = table_length(size, block);
    file.set_len(TABLE + table)?;
    file.write_all_at(&identifier(), 0)?;
    for (place, sequence) in [(64 * KIB, 1), (128 * KIB, 2)] {
        file.write_all_at(&header(sequence), place as u64)?;
    }
    let regions = regions(table);
    for place in [192 * KIB, 256 * KIB] {
        file.write_all_at(&regions, place as u64)?;
    }
    file.write_all_at(&metadata(size, block), METADATA)
}

/// Each block has an entry of eight bytes, and after those of as many blocks as a bitmap of sectors would cover comes
/// one for that bitmap.
fn table_length(size: u64, block: u64) -> u64 {
    let ratio = (1 << 23) * u64::from(LOGICAL_SECTOR) / block;
    let blocks = size.div_ceil(block);
    let entries = blocks + (blocks.saturating_sub(1)) / ratio;
    (entries * 8).next_multiple_of(MIB)
}

fn identifier() -> Vec<u8> {
    let creator = "Host Compute System".encode_utf16().flat_map(u16::to_le_bytes);
    MAGIC.iter().copied().chain(creator).collect()
}

fn header(sequence: u64) -> Vec<u8> {
    let mut header = vec![0; 4 * KIB];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"head");
    put(8, &sequence.to_le_bytes());
    put(16, &guid::stored(&random::guid()));
    put(32, &guid::stored(&random::guid()));
    // No id of a log: there is nothing to be replayed. Then its version and that of the format.
    put(66, &1u16.to_le_bytes());
    put(68, &(MIB as u32).to_le_bytes());
    put(72, &MIB.to_le_bytes());
    seal(header)
}

fn regions(table: u64) -> Vec<u8> {
    const BLOCKS: [u8; 16] = guid::from_digits(0x2DC27766_F623_4200_9D64_115E9BFD4A08);
    const ITEMS: [u8; 16] = guid::from_digits(0x8B7CA206_4790_4B9A_B8FE_575F050F886E);
    let mut regions = vec![0; 64 * KIB];
    regions[..4].copy_from_slice(b"regi");
    regions[8..12].copy_from_slice(&2u32.to_le_bytes());
    for (index, (id, place, length)) in
        [(BLOCKS, TABLE, table), (ITEMS, METADATA, MIB)].into_iter().enumerate()
    {
        let entry = &mut regions[16 + 32 * index..][..32];
        entry[..16].copy_from_slice(&id);
        entry[16..24].copy_from_slice(&place.to_le_bytes());
        entry[24..28].copy_from_slice(&(length as u32).to_le_bytes());
        // It must be understood.
        entry[28..32].copy_from_slice(&1u32.to_le_bytes());
    }
    seal(regions)
}

/// The second field of both is the checksum of the whole.
fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = crc32c(&bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn metadata(size: u64, block: u64) -> Vec<u8> {
    const REQUIRED: u32 = 4;
    const OF_THE_DISK: u32 = 2;
    let parameters = [&(block as u32).to_le_bytes()[..], &[0; 4]].concat();
    let items = [
        (guid::from_digits(0xCAA16737_FA36_4D43_B3B6_33F0AA44E76B), parameters, REQUIRED),
        (
            guid::from_digits(0x2FA54224_CD1B_4876_B211_5DBED83BF4B8),
            size.to_le_bytes().to_vec(),
            REQUIRED | OF_THE_DISK,
        ),
        (
            guid::from_digits(0x8141BF1D_A96F_4709_BA47_F233A8FAAB5F),
            LOGICAL_SECTOR.to_le_bytes().to_vec(),
            REQUIRED | OF_THE_DISK,
        ),
        (
            guid::from_digits(0xCDA348C7_445D_4471_9CC9_E9885251C556),
            PHYSICAL_SECTOR.to_le_bytes().to_vec(),
            REQUIRED | OF_THE_DISK,
        ),
        (
            guid::from_digits(0xBECA12AB_B2E6_4523_93EF_C309E000C746),
            guid::stored(&random::guid()).to_vec(),
            REQUIRED | OF_THE_DISK,
        ),
    ];
    // The table, and behind it what the items say.
    let mut bytes = vec![0; 64 * KIB];
    bytes[..8].copy_from_slice(b"metadata");
    bytes[10..12].copy_from_slice(&(items.len() as u16).to_le_bytes());
    for (index, (id, value, flags)) in items.into_iter().enumerate() {
        let place = bytes.len() as u32;
        let entry = &mut bytes[32 + 32 * index..][..32];
        entry[..16].copy_from_slice(&id);
        entry[16..20].copy_from_slice(&place.to_le_bytes());
        entry[20..24].copy_from_slice(&(value.len() as u32).to_le_bytes());
        entry[24..28].copy_from_slice(&flags.to_le_bytes());
        bytes.extend(value);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_room_for_all_blocks_and_their_bitmaps() {
        assert_eq!(table_length(1, BLOCK), MIB);
        // 4096 blocks of one MiB belong to a bitmap; a MiB of the table has 131,072 entries.
        assert_eq!(table_length(131_041 * MIB, BLOCK), MIB);
        assert_eq!(table_length(131_042 * MIB, BLOCK), 2 * MIB);
        assert_eq!(table_length(LARGEST, LARGE_BLOCK), 17 * MIB);
    }
}

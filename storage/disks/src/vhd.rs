//! The format VHD: a footer, which makes a file of plain bytes a disk, and for dynamic ones a table of blocks.
//!
//! Ours are made here; dynamic ones are read and written by `qemu-storage-daemon`.

use std::{fs::File, os::unix::fs::FileExt, time::SystemTime};

use hcs_core::{Error, random};

use crate::failure;

/// Its length, at the end of the file.
pub const FOOTER: u64 = 512;
/// The largest disk of the format, as everybody has it.
pub const LARGEST: u64 = 2040 << 30;

const COOKIE: &[u8] = b"conectix";
const BLOCK: u64 = 2 << 20;
const NOWHERE: u64 = u64::MAX;

/// What a footer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footer {
    /// The file is the disk, up to the footer.
    Fixed {
        /// Bytes of the disk.
        size: u64,
    },
    /// Blocks come where the table says.
    Dynamic {
        /// Bytes of the disk.
        size: u64,
    },
}

/// Reads the footer from the last bytes of a file; `None` if it has none.
pub fn read(footer: &[u8; 512], file_length: u64) -> Result<Option<Footer>, Error> {
    if !footer.starts_with(COOKIE) {
        return Ok(None);
    }
    let number = |at: usize| u32::from_be_bytes([footer[at], footer[at + 1], footer[at + 2], footer[at + 3]]);
    let long = |at: usize| u64::from(number(at)) << 32 | u64::from(number(at + 4));
    // A fuzzer cannot know it, and would get no further.
    if number(64) != checksum(footer, 64) && !cfg!(fuzzing) {
        return Err(failure::invalid("the footer of the VHD is damaged: its checksum is wrong"));
    }
    let size = long(48);
    match number(60) {
        2 if size <= file_length.saturating_sub(FOOTER) => Ok(Some(Footer::Fixed { size })),
        2 => Err(failure::invalid(format!("the VHD is cut off: its {size} bytes are not there"))),
        3 => Ok(Some(Footer::Dynamic { size })),
        4 => Err(failure::invalid("the VHD is one of differences to another disk, which is not supported")),
        other => Err(failure::invalid(format!("the VHD has the unknown type {other}"))),
    }
}

/// Makes a fixed one of a file that is empty.
pub fn make_fixed(file: &File, size: u64) -> std::io::Result<()> {
    file.set_len(size)?;
    file.write_all_at(&footer(size, 2, NOWHERE), size)
}

/// Makes a dynamic one of a file that is empty.
pub fn make_dynamic(file: &File, size: u64) -> std::io::Result<()> {
    /// Behind the copy of the footer and the header.
    const TABLE: u64 = 1536;
    let entries = size.div_ceil(BLOCK) as u32;
    let mut header = [0u8; 1024];
    header[..8].copy_from_slice(b"cxsparse");
    header[8..16].copy_from_slice(&NOWHERE.to_be_bytes());
    header[16..24].copy_from_slice(&TABLE.to_be_bytes());
    header[24..28].copy_from_slice(&0x0001_0000u32.to_be_bytes());
    header[28..32].copy_from_slice(&entries.to_be_bytes());
    header[32..36].copy_from_slice(&(BLOCK as u32).to_be_bytes());
    let sum = checksum(&header, 36);
    header[36..40].copy_from_slice(&sum.to_be_bytes());
    let table = vec![0xFF; (u64::from(entries) * 4).next_multiple_of(512) as usize];
    let footer = footer(size, 3, 512);
    file.write_all_at(&footer, 0)?;
    file.write_all_at(&header, 512)?;
    file.write_all_at(&table, TABLE)?;
    file.write_all_at(&footer, TABLE + table.len() as u64)
}

fn footer(size: u64, kind: u32, data: u64) -> [u8; 512] {
    /// Seconds from 1970 to 2000, when the format's time begins.
    const EPOCH: u64 = 946_684_800;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(EPOCH, |time| time.as_secs());
    let mut footer = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| footer[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, COOKIE);
    put(8, &2u32.to_be_bytes());
    put(12, &0x0001_0000u32.to_be_bytes());
    put(16, &data.to_be_bytes());
    put(24, &(now.saturating_sub(EPOCH) as u32).to_be_bytes());
    // Readers take the exact size of those by Windows; of strangers they take the geometry, which is rounded.
    put(28, b"win ");
    put(32, &0x000A_0000u32.to_be_bytes());
    put(36, b"Wi2k");
    put(40, &size.to_be_bytes());
    put(48, &size.to_be_bytes());
    put(56, &geometry(size));
    put(60, &kind.to_be_bytes());
    put(68, random::guid().as_bytes());
    let sum = checksum(&footer, 64);
    footer[64..68].copy_from_slice(&sum.to_be_bytes());
    footer
}

/// The complement of the sum of all bytes but those of the sum itself.
fn checksum(bytes: &[u8], at: usize) -> u32 {
    let others = bytes.iter().enumerate().filter(|(index, _)| !(at..at + 4).contains(index));
    !others.fold(0u32, |sum, (_, byte)| sum.wrapping_add(u32::from(*byte)))
}

/// Cylinders, heads and sectors as the format's text computes them.
fn geometry(size: u64) -> [u8; 4] {
    let total = (size / 512).min(65535 * 16 * 255);
    let (heads, sectors, rest) = if total >= 65535 * 16 * 63 {
        (16, 255, total / 255)
    } else {
        let rest = total / 17;
        let heads = rest.div_ceil(1024).max(4);
        if rest < heads * 1024 && heads <= 16 {
            (heads, 17, rest)
        } else if total / 31 < 16 * 1024 {
            (16, 31, total / 31)
        } else {
            (16, 63, total / 63)
        }
    };
    let cylinders = (rest / heads) as u16;
    let [high, low] = cylinders.to_be_bytes();
    [high, low, heads as u8, sectors as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_is_read_as_it_was_written_and_refused_when_it_is_damaged() {
        let size = 1 << 30;
        let good = footer(size, 2, NOWHERE);
        assert_eq!(read(&good, size + 512).unwrap(), Some(Footer::Fixed { size }));
        assert!(read(&good, size + 511).is_err());
        assert_eq!(read(&footer(size, 3, 512), 4096).unwrap(), Some(Footer::Dynamic { size }));
        assert!(read(&footer(size, 4, 512), 4096).is_err());
        for at in 8..512 {
            let mut bad = good;
            bad[at] ^= 0x10;
            assert!(read(&bad, size + 512).is_err(), "{at}");
        }
        assert_eq!(read(&[0; 512], size).unwrap(), None);
    }

    #[test]
    fn geometries_are_those_of_the_formats_text() {
        // 40 MiB have 81,920 sectors: 963 cylinders of 5 heads with 17 each, and what is left.
        assert_eq!(geometry(40 << 20), [0x03, 0xC3, 5, 17]);
        assert_eq!(geometry(u64::MAX), [0xFF, 0xFF, 16, 255]);
    }
}

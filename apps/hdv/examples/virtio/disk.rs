//! A disk: the bytes of a file.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hdv::{Cause, Error};

use super::{Model, queue::Chain};

const SECTOR: u64 = 512;
const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;
const NAME: u32 = 8;

const OK: u8 = 0;
const FAILED: u8 = 1;
const UNKNOWN: u8 = 2;

/// It has the most segments in its configuration, and can be flushed.
const FEATURES: u64 = 1 << 2 | 1 << 9;
/// The most segments of a request: those of a queue, without its head and its tail.
const SEGMENTS: u32 = super::queue::MOST as u32 - 2;

/// The bytes of a file, as a disk.
pub struct Disk {
    file: File,
    sectors: u64,
    /// How many requests were served.
    pub served: Arc<AtomicU64>,
}

impl Disk {
    /// The disk that a file is.
    pub fn new(file: File) -> Result<Disk, Error> {
        let length = file.metadata().map_err(|error| Error::from_io(&error, "looking at the file"))?.len();
        Ok(Disk { file, sectors: length / SECTOR, served: Arc::default() })
    }

    /// Does what is asked; how it went, and what was read.
    fn act(&self, kind: u32, sector: u64, said: &[u8], room: usize) -> (u8, Vec<u8>) {
        let length = if kind == WRITE { said.len() } else { room } as u64;
        let end = sector.checked_mul(SECTOR).and_then(|at| at.checked_add(length));
        let is_there = end.is_some_and(|end| end <= self.sectors * SECTOR);
        let mut data = vec![0; if kind == READ || kind == NAME { room } else { 0 }];
        let done = match kind {
            READ if is_there => self.file.read_exact_at(&mut data, sector * SECTOR),
            WRITE if is_there => self.file.write_all_at(said, sector * SECTOR),
            FLUSH => self.file.sync_data(),
            NAME => {
                let name = b"hdv";
                let length = name.len().min(room);
                data[..length].copy_from_slice(&name[..length]);
                Ok(())
            }
            READ | WRITE => return (FAILED, data),
            _ => return (UNKNOWN, data),
        };
        (if done.is_ok() { OK } else { FAILED }, data)
    }
}

impl Model for Disk {
    const NUMBER: u16 = 2;
    const CLASS: [u8; 2] = [0x01, 0x80];

    fn features(&self) -> u64 {
        FEATURES
    }

    fn configuration(&self) -> Vec<u8> {
        // The most bytes of a segment are not told.
        let mut own = self.sectors.to_le_bytes().to_vec();
        own.extend([0; 4]);
        own.extend(SEGMENTS.to_le_bytes());
        own
    }

    fn serve(&self, chain: &Chain) -> Result<u32, Error> {
        let said = chain.said()?;
        let (head, said) = said.split_at_checked(16).unwrap_or_default();
        // The last byte is how it went.
        let (Some(room), [k, i, n, d, _, _, _, _, sector @ ..]) = (chain.room().checked_sub(1), head) else {
            return Err(Error::new(Cause::InvalidData, "the guest has asked the disk for nothing"));
        };
        let sector = u64::from_le_bytes(sector.try_into().unwrap_or_default());
        let (status, mut answer) = self.act(u32::from_le_bytes([*k, *i, *n, *d]), sector, said, room);
        answer.resize(room, 0);
        answer.push(status);
        chain.answer(&answer)?;
        self.served.fetch_add(1, Ordering::Relaxed);
        Ok(answer.len() as u32)
    }
}

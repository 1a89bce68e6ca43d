//! A source of random numbers: those of the host.

use std::{fs::File, io::Read};

use hdv::Error;

use super::{Model, queue::Chain};

/// The most bytes at once.
const MOST: usize = 4096;

/// Random numbers.
pub struct Entropy;

impl Model for Entropy {
    const NUMBER: u16 = 4;
    const CLASS: [u8; 2] = [0xff, 0];

    fn features(&self) -> u64 {
        0
    }

    fn configuration(&self) -> Vec<u8> {
        Vec::new()
    }

    fn serve(&self, chain: &Chain) -> Result<u32, Error> {
        let mut data = vec![0; chain.room().min(MOST)];
        let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut data));
        read.map_err(|error| Error::from_io(&error, "reading random numbers"))?;
        chain.answer(&data)?;
        Ok(data.len() as u32)
    }
}

//! Reads numbers from a body, one after the other. What is not there is an error.

use crate::{Broken, broken};

pub struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(what: &'static str, body: &'a [u8]) -> Reader<'a> {
        Reader { what, rest: body }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => broken(format!("{} that is cut off", self.what)),
        }
    }

    pub fn u16(&mut self) -> Result<u16, Broken> {
        self.take().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Broken> {
        self.take().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Broken> {
        self.take().map(u64::from_le_bytes)
    }

    pub fn rest(self) -> &'a [u8] {
        self.rest
    }
}

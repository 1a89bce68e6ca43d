//! A ring: places in the memory of the guest by which its driver gives buffers away and gets them back. Each is given back
//! before the next is taken, so a ring that is stopped has nothing under way.

use std::sync::atomic::{Ordering, fence};

use crate::{Broken, number_at};

/// The most places of a ring.
pub const MOST: u16 = 1024;

/// The longest chain of buffers, in bytes: the largest packet of a driver, and a header.
const LONGEST: u64 = 1 << 20;

const NEXT: u16 = 1;
const FOR_DEVICE: u16 = 2;
const NO_CALL: u16 = 1;

/// The memory of a guest, by its addresses. What is not there cannot be read or written: false.
pub trait Memory {
    /// Reads from there on.
    fn read(&self, address: u64, data: &mut [u8]) -> bool;
    /// Writes from there on.
    fn write(&self, address: u64, data: &[u8]) -> bool;
}

/// Where a ring is, in the memory of the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// How many places it has.
    pub size: u16,
    /// Its descriptors.
    pub descriptors: u64,
    /// Where they are given.
    pub available: u64,
    /// Where they are given back.
    pub used: u64,
}

/// A ring that is in use.
#[derive(Debug)]
pub struct Ring {
    places: Places,
    next_available: u16,
    next_used: u16,
}

/// Buffers of the guest that belong together.
#[derive(Debug, Default)]
pub struct Chain {
    head: u16,
    said: Vec<Buffer>,
    wanted: Vec<Buffer>,
}

#[derive(Clone, Copy, Debug)]
struct Buffer {
    address: u64,
    length: u32,
}

const NOT_THERE: Broken = Broken("the guest has a ring or a buffer where no memory is");
const ROUND: Broken = Broken("the guest has given buffers that are none");

impl Ring {
    /// One that goes on from there.
    pub fn at(places: Places, base: u16, memory: &impl Memory) -> Result<Ring, Broken> {
        if places.size == 0 || places.size > MOST || !places.size.is_power_of_two() {
            return Err(Broken("the guest has a ring of a size that there is not"));
        }
        let next_used = half(memory, place(places.used, 2)?)?;
        Ok(Ring { places, next_available: base, next_used })
    }

    /// From where it goes on.
    pub fn base(&self) -> u16 {
        self.next_available
    }

    /// Whether there is a buffer.
    pub fn has_more(&self, memory: &impl Memory) -> Result<bool, Broken> {
        let given = half(memory, place(self.places.available, 2)?)?;
        if given.wrapping_sub(self.next_available) > self.places.size {
            return Err(ROUND);
        }
        Ok(given != self.next_available)
    }

    /// The next buffers, if there are some, which stay the next until they are given back. `chain` is where they are put.
    pub fn look(&self, memory: &impl Memory, chain: &mut Chain) -> Result<bool, Broken> {
        if !self.has_more(memory)? {
            return Ok(false);
        }
        // What lies behind the index was written before it.
        fence(Ordering::Acquire);
        let slot = u64::from(self.next_available % self.places.size);
        chain.head = half(memory, place(self.places.available, 4 + 2 * slot)?)?;
        chain.said.clear();
        chain.wanted.clear();
        let (mut index, mut left) = (chain.head, LONGEST);
        loop {
            // A driver that goes round in circles is not followed.
            if index >= self.places.size || chain.said.len() + chain.wanted.len() >= self.places.size.into() {
                return Err(ROUND);
            }
            let mut descriptor = [0; 16];
            read(memory, place(self.places.descriptors, 16 * u64::from(index))?, &mut descriptor)?;
            let (address, length) = (number_at!(u64, descriptor, 0), number_at!(u32, descriptor, 8));
            let (flags, next) = (number_at!(u16, descriptor, 12), number_at!(u16, descriptor, 14));
            left = left.checked_sub(length.into()).ok_or(Broken("the guest gives too much at once"))?;
            let side = if flags & FOR_DEVICE != 0 { &mut chain.wanted } else { &mut chain.said };
            side.push(Buffer { address, length });
            if flags & NEXT == 0 {
                return Ok(true);
            }
            index = next;
        }
    }

    /// Gives the buffers back that were looked at last, into which so much was written.
    pub fn give_back(&mut self, memory: &impl Memory, chain: &Chain, written: usize) -> Result<(), Broken> {
        let slot = u64::from(self.next_used % self.places.size);
        let mut entry = [0; 8];
        entry[..4].copy_from_slice(&u32::from(chain.head).to_le_bytes());
        entry[4..].copy_from_slice(&(written as u32).to_le_bytes());
        write(memory, place(self.places.used, 4 + 8 * slot)?, &entry)?;
        // The driver reads the index before the entry.
        fence(Ordering::Release);
        self.next_available = self.next_available.wrapping_add(1);
        self.next_used = self.next_used.wrapping_add(1);
        write(memory, place(self.places.used, 2)?, &self.next_used.to_le_bytes())
    }

    /// Whether the driver wants to be told of what was given back.
    pub fn wants_call(&self, memory: &impl Memory) -> Result<bool, Broken> {
        fence(Ordering::SeqCst);
        Ok(half(memory, self.places.available)? & NO_CALL == 0)
    }
}

impl Chain {
    /// How many bytes the driver says.
    pub fn said(&self) -> usize {
        length(&self.said)
    }

    /// How many bytes the driver has room for.
    pub fn room(&self) -> usize {
        length(&self.wanted)
    }

    /// Reads what the driver says, from there on, as far as it goes; how much that was.
    pub fn read(&self, memory: &impl Memory, from: usize, data: &mut [u8]) -> Result<usize, Broken> {
        let mut done = 0;
        for (address, length) in pieces(&self.said, from, data.len()) {
            read(memory, address, &mut data[done..done + length])?;
            done += length;
        }
        Ok(done)
    }

    /// Writes to the driver, from there on. There must be room.
    pub fn write(&self, memory: &impl Memory, from: usize, data: &[u8]) -> Result<(), Broken> {
        let mut done = 0;
        for (address, length) in pieces(&self.wanted, from, data.len()) {
            write(memory, address, &data[done..done + length])?;
            done += length;
        }
        if done == data.len() {
            Ok(())
        } else {
            Err(Broken("the guest has given a buffer that is too small"))
        }
    }
}

fn length(buffers: &[Buffer]) -> usize {
    buffers.iter().map(|buffer| buffer.length as usize).sum()
}

/// The parts of buffers from a byte on, so many bytes at most: where each is, and how long.
fn pieces(buffers: &[Buffer], from: usize, most: usize) -> impl Iterator<Item = (u64, usize)> {
    let (mut skip, mut left) = (from, most);
    buffers.iter().filter_map(move |buffer| {
        let passed = skip.min(buffer.length as usize);
        let length = (buffer.length as usize - passed).min(left);
        (skip, left) = (skip - passed, left - length);
        (length > 0).then(|| (buffer.address.wrapping_add(passed as u64), length))
    })
}

/// A place in a ring. Where that is the guest has said.
fn place(ring: u64, offset: u64) -> Result<u64, Broken> {
    ring.checked_add(offset).ok_or(NOT_THERE)
}

fn half(memory: &impl Memory, address: u64) -> Result<u16, Broken> {
    let mut data = [0; 2];
    read(memory, address, &mut data)?;
    Ok(u16::from_le_bytes(data))
}

fn read(memory: &impl Memory, address: u64, data: &mut [u8]) -> Result<(), Broken> {
    memory.read(address, data).then_some(()).ok_or(NOT_THERE)
}

fn write(memory: &impl Memory, address: u64, data: &[u8]) -> Result<(), Broken> {
    memory.write(address, data).then_some(()).ok_or(NOT_THERE)
}

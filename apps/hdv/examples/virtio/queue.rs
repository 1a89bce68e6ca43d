//! A queue of virtio: rings in the memory of the guest, by which its driver gives buffers away and gets them back.

use std::sync::atomic::{Ordering, fence};

use hdv::{Cause, Device, Error};

/// The most buffers that a queue has.
pub const MOST: u16 = 256;

/// The most bytes of a request.
const MOST_BYTES: u64 = 64 << 20;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const NO_INTERRUPT: u16 = 1;

/// A buffer of the guest.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    pub address: u64,
    pub length: u32,
    /// The device writes it; else it reads it.
    pub is_for_device: bool,
}

/// Buffers that belong together.
pub struct Chain {
    head: u16,
    pub buffers: Vec<Buffer>,
    pub device: Device,
}

/// Where a driver has put a queue, and how far it is.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    pub size: u16,
    pub vector: u16,
    pub is_enabled: bool,
    pub descriptors: u64,
    pub available: u64,
    pub used: u64,
    next_available: u16,
    next_used: u16,
}

impl Queue {
    /// One that no driver has set up.
    pub fn new() -> Queue {
        Queue { size: MOST, vector: u16::MAX, ..Queue::default() }
    }

    /// The next buffers, if the driver has given any.
    pub fn take(&mut self, device: &Device) -> Result<Option<Chain>, Error> {
        let given = half(device, at(self.available, 2)?)?;
        if given == self.next_available {
            return Ok(None);
        }
        // What lies behind the index was written before it.
        fence(Ordering::Acquire);
        let slot = u64::from(self.next_available % self.size);
        let head = half(device, at(self.available, 4 + 2 * slot)?)?;
        self.next_available = self.next_available.wrapping_add(1);
        let mut buffers = Vec::new();
        let mut index = head;
        let mut total = 0;
        loop {
            // A driver that goes round in circles is not followed.
            if index >= self.size || buffers.len() >= usize::from(self.size) {
                return Err(Error::new(Cause::InvalidData, "the guest has given buffers that are none"));
            }
            let mut descriptor = [0; 16];
            device.read_guest(at(self.descriptors, 16 * u64::from(index))?, &mut descriptor)?;
            let [a, b, c, d, e, f, g, h, length @ .., _, _, _, _] = descriptor;
            let flags = u16::from_le_bytes([descriptor[12], descriptor[13]]);
            let length = u32::from_le_bytes(length);
            total += u64::from(length);
            if total > MOST_BYTES {
                return Err(Error::new(Cause::InvalidData, "the guest asks for too much at once"));
            }
            buffers.push(Buffer {
                address: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
                length,
                is_for_device: flags & WRITE != 0,
            });
            if flags & NEXT == 0 {
                return Ok(Some(Chain { head, buffers, device: device.clone() }));
            }
            index = u16::from_le_bytes([descriptor[14], descriptor[15]]);
        }
    }

    /// Gives buffers back.
    pub fn give_back(&mut self, chain: &Chain, written: u32) -> Result<(), Error> {
        let slot = u64::from(self.next_used % self.size);
        let mut entry = [0; 8];
        entry[..4].copy_from_slice(&u32::from(chain.head).to_le_bytes());
        entry[4..].copy_from_slice(&written.to_le_bytes());
        chain.device.write_guest(at(self.used, 4 + 8 * slot)?, &entry)?;
        // The driver reads the index before the entry.
        fence(Ordering::Release);
        self.next_used = self.next_used.wrapping_add(1);
        chain.device.write_guest(at(self.used, 2)?, &self.next_used.to_le_bytes())
    }

    /// Whether the driver wants to be interrupted.
    pub fn wants_interrupt(&self, device: &Device) -> Result<bool, Error> {
        fence(Ordering::SeqCst);
        Ok(half(device, self.available)? & NO_INTERRUPT == 0)
    }
}

/// A place in a ring. Where that is the guest has said.
fn at(ring: u64, offset: u64) -> Result<u64, Error> {
    ring.checked_add(offset)
        .ok_or_else(|| Error::new(Cause::InvalidData, "the guest has put a ring where no memory is"))
}

fn half(device: &Device, address: u64) -> Result<u16, Error> {
    let mut data = [0; 2];
    device.read_guest(address, &mut data)?;
    Ok(u16::from_le_bytes(data))
}

impl Chain {
    /// Everything that the driver says, and how many bytes it wants to hear.
    pub fn said(&self) -> Result<Vec<u8>, Error> {
        let mut said = Vec::new();
        for buffer in self.buffers.iter().filter(|buffer| !buffer.is_for_device) {
            let begins = said.len();
            said.resize(begins + buffer.length as usize, 0);
            self.device.read_guest(buffer.address, &mut said[begins..])?;
        }
        Ok(said)
    }

    /// How many bytes the driver wants to hear.
    pub fn room(&self) -> usize {
        self.buffers.iter().filter(|buffer| buffer.is_for_device).map(|buffer| buffer.length as usize).sum()
    }

    /// Answers, from the first buffer on.
    pub fn answer(&self, mut data: &[u8]) -> Result<(), Error> {
        for buffer in self.buffers.iter().filter(|buffer| buffer.is_for_device) {
            let (now, later) = data.split_at(data.len().min(buffer.length as usize));
            self.device.write_guest(buffer.address, now)?;
            data = later;
        }
        Ok(())
    }
}

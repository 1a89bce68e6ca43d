//! What is said back to a monitor, as bytes, for whoever has done what it asked.

use serde_json::json;

use crate::{
    MOST_DATA, MOST_FDS,
    frame::{HEADER, Header},
    request::{Unmap, Version},
};

/// A whole message.
fn message(header: Header, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(&header.bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Numbers, one after the other.
fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// An answer with this body.
pub fn answer(to: &Header, body: &[u8]) -> Vec<u8> {
    message(to.answer(body.len()), body)
}

/// A refusal.
pub fn refusal(to: &Header, errno: i32) -> Vec<u8> {
    message(to.refusal(errno), &[])
}

/// The version that is spoken: the first there was, and what we can do.
pub fn version(to: &Header, asked: &Version) -> Vec<u8> {
    let text = json!({"capabilities": {
        "max_msg_fds": MOST_FDS,
        "max_data_xfer_size": MOST_DATA,
        // A peer that has none chosen may map page by page.
        "pgsizes": 4096,
    }});
    let mut body = asked.major.to_le_bytes().to_vec();
    body.extend_from_slice(&0u16.to_le_bytes());
    body.extend_from_slice(text.to_string().as_bytes());
    body.push(0);
    answer(to, &body)
}

/// That memory has gone.
pub fn unmapped(to: &Header, memory: &Unmap) -> Vec<u8> {
    const ALL: u32 = 2;
    let mut body = numbers(&[24, if memory.is_all { ALL } else { 0 }]);
    body.extend_from_slice(&memory.address.to_le_bytes());
    body.extend_from_slice(&memory.length.to_le_bytes());
    answer(to, &body)
}

/// A PCI device that can be reset.
pub fn info(to: &Header, regions: u32, irqs: u32) -> Vec<u8> {
    const RESET: u32 = 1;
    const PCI: u32 = 2;
    answer(to, &numbers(&[16, RESET | PCI, regions, irqs]))
}

/// A part of a region that the monitor may map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Where it begins in the region.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// What a region is. The file of its areas goes beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// How long it is; a region that is not there has no length.
    pub length: u64,
    /// What of it may be mapped.
    pub areas: Vec<Area>,
    /// Where the file begins that is mapped: an area lies as much behind it as in the region.
    pub file_offset: u64,
}

/// The length of the answer about a region of which nothing may be mapped, or that has no room for what may.
pub const REGION: usize = HEADER + 32;

/// What a region is, as far as there is room for the answer.
pub fn region(to: &Header, index: u32, region: &Region, room: u32) -> Vec<u8> {
    const READ: u32 = 1;
    const WRITE: u32 = 2;
    const MAPPED: u32 = 4;
    const MORE: u32 = 8;
    const SPARSE: u16 = 1;
    const FIRST: u32 = 32;
    let mut more = Vec::new();
    if !region.areas.is_empty() {
        more.extend_from_slice(&SPARSE.to_le_bytes());
        more.extend_from_slice(&1u16.to_le_bytes());
        more.extend(numbers(&[0, region.areas.len() as u32, 0]));
        for area in &region.areas {
            more.extend_from_slice(&area.offset.to_le_bytes());
            more.extend_from_slice(&area.length.to_le_bytes());
        }
    }
    let needed = FIRST + more.len() as u32;
    let is_whole = !more.is_empty() && room >= needed;
    let mut flags = if region.length > 0 { READ | WRITE } else { 0 };
    // A monitor with too little room asks again. QEMU gives up if it is told of more that does not follow.
    if is_whole {
        flags |= MAPPED | MORE;
    }
    let mut body = numbers(&[needed, flags, index, if is_whole { FIRST } else { 0 }]);
    body.extend_from_slice(&region.length.to_le_bytes());
    body.extend_from_slice(&region.file_offset.to_le_bytes());
    if is_whole {
        body.extend_from_slice(&more);
    }
    answer(to, &body)
}

/// How many interrupts of a kind there are.
pub fn irqs(to: &Header, index: u32, count: u32) -> Vec<u8> {
    const EVENTFD: u32 = 1;
    answer(to, &numbers(&[16, EVENTFD, index, count]))
}

/// What was read.
pub fn data(to: &Header, region: u32, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut body = offset.to_le_bytes().to_vec();
    body.extend(numbers(&[region, data.len() as u32]));
    body.extend_from_slice(data);
    answer(to, &body)
}

/// That it was written.
pub fn written(to: &Header, region: u32, offset: u64, length: usize) -> Vec<u8> {
    let mut body = offset.to_le_bytes().to_vec();
    body.extend(numbers(&[region, length as u32]));
    answer(to, &body)
}

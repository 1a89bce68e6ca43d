//! What a monitor asks, read from its bytes: lengths and numbers are checked here, and nowhere behind it.

use std::os::fd::OwnedFd;

use serde::Deserialize;

use crate::{
    Broken, MOST_DATA, MOST_FDS, broken,
    frame::{Message, command},
    reader::Reader,
};

/// What a monitor can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The first part of the version that it speaks.
    pub major: u16,
    /// The second.
    pub minor: u16,
    /// The most bytes of data that it takes in a message.
    pub most_data: usize,
    /// The most descriptors that it takes beside a message.
    pub most_fds: usize,
}

/// Memory of the guest.
#[derive(Debug)]
pub struct Map {
    /// Where it begins for the guest.
    pub address: u64,
    /// How long it is.
    pub length: u64,
    /// The device may read it.
    pub readable: bool,
    /// The device may write it.
    pub writable: bool,
    /// What it is, and where it begins there; without that, the monitor is to be asked for what it has.
    pub file: Option<(OwnedFd, u64)>,
}

/// Memory that the guest has no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmap {
    /// Where it began.
    pub address: u64,
    /// How long it was.
    pub length: u64,
    /// It is all memory, wherever it was.
    pub is_all: bool,
}

/// What a monitor asks.
#[derive(Debug)]
#[expect(missing_docs, reason = "the members are named as what they are")]
pub enum Request {
    /// Which version is spoken.
    Version(Version),
    /// The guest has memory.
    Map(Map),
    /// The guest has it no more.
    Unmap(Unmap),
    /// What kind of device it is.
    Info,
    /// What a region is; there is room for so many bytes in the answer.
    RegionInfo { index: u32, room: u32 },
    /// What interrupts there are.
    IrqInfo { index: u32 },
    /// How interrupts are told.
    SetIrqs { index: u32, count: u32 },
    /// Reads from a region.
    Read { region: u32, offset: u64, length: usize },
    /// Writes to a region.
    Write { region: u32, offset: u64, data: Vec<u8> },
    /// The device begins anew.
    Reset,
    /// Something that is not served.
    Unknown,
}

#[derive(Default, Deserialize)]
struct Spoken {
    #[serde(default)]
    capabilities: Capabilities,
}

#[derive(Default, Deserialize)]
struct Capabilities {
    max_data_xfer_size: Option<u64>,
    max_msg_fds: Option<u64>,
}

/// Not more of what a peer may choose than we take.
fn at_most(chosen: Option<u64>, by_default: usize, most: usize) -> usize {
    chosen.and_then(|chosen| usize::try_from(chosen).ok()).unwrap_or(by_default).min(most)
}

impl Request {
    /// Reads a message.
    pub fn read(message: Message) -> Result<Request, Broken> {
        let Message { header, body, fds } = message;
        let takes_fds = matches!(header.command, command::DMA_MAP | command::SET_IRQS);
        if !fds.is_empty() && !takes_fds {
            return broken(format!("descriptors beside a message of the kind {}", header.command));
        }
        match header.command {
            command::VERSION => version(&body),
            command::DMA_MAP => map(&body, fds),
            command::DMA_UNMAP => unmap(&body),
            command::GET_INFO => Ok(Request::Info),
            command::GET_REGION_INFO => {
                let mut reader = Reader::new("a question for a region", &body);
                let (room, _flags, index) = (reader.u32()?, reader.u32()?, reader.u32()?);
                Ok(Request::RegionInfo { index, room })
            }
            command::GET_IRQ_INFO => {
                let mut reader = Reader::new("a question for interrupts", &body);
                let (_room, _flags, index) = (reader.u32()?, reader.u32()?, reader.u32()?);
                Ok(Request::IrqInfo { index })
            }
            command::SET_IRQS => {
                let mut reader = Reader::new("a setting of interrupts", &body);
                let (_room, _flags, index) = (reader.u32()?, reader.u32()?, reader.u32()?);
                let (_start, count) = (reader.u32()?, reader.u32()?);
                Ok(Request::SetIrqs { index, count })
            }
            command::REGION_READ => {
                let mut reader = Reader::new("a read", &body);
                let (offset, region, length) = (reader.u64()?, reader.u32()?, reader.u32()? as usize);
                if length > MOST_DATA {
                    return broken(format!("a read of {length} bytes, and {MOST_DATA} are the most"));
                }
                Ok(Request::Read { region, offset, length })
            }
            command::REGION_WRITE => {
                let mut reader = Reader::new("a write", &body);
                let (offset, region, length) = (reader.u64()?, reader.u32()?, reader.u32()? as usize);
                let data = reader.rest();
                if data.len() != length {
                    return broken(format!("a write of {length} bytes that has {}", data.len()));
                }
                Ok(Request::Write { region, offset, data: data.to_vec() })
            }
            command::RESET => Ok(Request::Reset),
            _ => Ok(Request::Unknown),
        }
    }
}

fn version(body: &[u8]) -> Result<Request, Broken> {
    let mut reader = Reader::new("a greeting", body);
    let (major, minor) = (reader.u16()?, reader.u16()?);
    let text = reader.rest();
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let spoken = match text {
        [] => Spoken::default(),
        text => match serde_json::from_slice::<Spoken>(text) {
            Ok(spoken) => spoken,
            Err(error) => return broken(format!("a greeting that is not understood: {error}")),
        },
    };
    Ok(Request::Version(Version {
        major,
        minor,
        most_data: at_most(spoken.capabilities.max_data_xfer_size, MOST_DATA, MOST_DATA),
        most_fds: at_most(spoken.capabilities.max_msg_fds, 1, MOST_FDS),
    }))
}

fn map(body: &[u8], mut fds: Vec<OwnedFd>) -> Result<Request, Broken> {
    const READ: u32 = 1;
    const WRITE: u32 = 2;
    let mut reader = Reader::new("memory", body);
    let (_room, flags) = (reader.u32()?, reader.u32()?);
    let (offset, address, length) = (reader.u64()?, reader.u64()?, reader.u64()?);
    if length == 0 || address.checked_add(length).is_none() || offset.checked_add(length).is_none() {
        return broken(format!("memory at {address:#x} that is {length:#x} long"));
    }
    if fds.len() > 1 {
        return broken("memory that is more than one file");
    }
    Ok(Request::Map(Map {
        address,
        length,
        readable: flags & READ != 0,
        writable: flags & WRITE != 0,
        file: fds.pop().map(|file| (file, offset)),
    }))
}

fn unmap(body: &[u8]) -> Result<Request, Broken> {
    const ALL: u32 = 2;
    let mut reader = Reader::new("memory that goes", body);
    let (_room, flags) = (reader.u32()?, reader.u32()?);
    let (address, length) = (reader.u64()?, reader.u64()?);
    Ok(Request::Unmap(Unmap { address, length, is_all: flags & ALL != 0 }))
}

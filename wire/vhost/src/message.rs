//! What QEMU asks of a device that is another process: a header, a body, and descriptors beside them.

use crate::{Broken, number_at};

/// The length of a header.
pub const HEADER: usize = 12;
/// The longest body: that of the memory, or of a whole configuration.
pub const LONGEST: usize = 12 + 256;
/// The most parts of the memory that are said at once, each with a descriptor.
pub const MOST_REGIONS: usize = 8;

/// Features that are not of the device but of this conversation.
pub const PROTOCOL_FEATURES: u64 = 1 << 30;
/// The device follows the virtio of 2016 or later.
pub const VERSION_1: u64 = 1 << 32;

/// Features of this conversation.
pub mod protocol {
    /// The device says how many rings it has.
    pub const MANY_RINGS: u64 = 1 << 0;
    /// Whatever is asked can be answered.
    pub const ANSWERS: u64 = 1 << 3;
    /// The device has a configuration.
    pub const CONFIGURATION: u64 = 1 << 9;
    /// Parts of the memory come and go one by one, and there may be many.
    pub const MEMORY_SLOTS: u64 = 1 << 15;
    /// All of them.
    pub const ALL: u64 = MANY_RINGS | ANSWERS | CONFIGURATION | MEMORY_SLOTS;
}

const VERSION: u32 = 1;
const VERSION_BITS: u32 = 3;
const IS_ANSWER: u32 = 1 << 2;
const WANTS_ANSWER: u32 = 1 << 3;

mod kind {
    pub const GET_FEATURES: u32 = 1;
    pub const SET_FEATURES: u32 = 2;
    pub const SET_OWNER: u32 = 3;
    pub const RESET_OWNER: u32 = 4;
    pub const SET_MEM_TABLE: u32 = 5;
    pub const SET_VRING_NUM: u32 = 8;
    pub const SET_VRING_ADDR: u32 = 9;
    pub const SET_VRING_BASE: u32 = 10;
    pub const GET_VRING_BASE: u32 = 11;
    pub const SET_VRING_KICK: u32 = 12;
    pub const SET_VRING_CALL: u32 = 13;
    pub const SET_VRING_ERR: u32 = 14;
    pub const GET_PROTOCOL_FEATURES: u32 = 15;
    pub const SET_PROTOCOL_FEATURES: u32 = 16;
    pub const GET_QUEUE_NUM: u32 = 17;
    pub const SET_VRING_ENABLE: u32 = 18;
    pub const GET_CONFIG: u32 = 24;
    pub const GET_MAX_MEM_SLOTS: u32 = 36;
    pub const ADD_MEM_REG: u32 = 37;
    pub const REM_MEM_REG: u32 = 38;
}

/// The header of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    kind: u32,
    flags: u32,
    /// How long the body is.
    pub size: usize,
}

/// A part of the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Where it is for the guest.
    pub guest: u64,
    /// How long it is.
    pub size: u64,
    /// Where it is for QEMU, which says places of rings so.
    pub user: u64,
    /// Where it begins in its file.
    pub offset: u64,
}

/// What is asked. Rings are numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// What the device can do.
    GetFeatures,
    /// What of it the driver wants.
    SetFeatures,
    /// What the conversation can.
    GetProtocolFeatures,
    /// What of it QEMU wants.
    SetProtocolFeatures,
    /// Somebody has the device now, or nobody. It changes nothing here.
    SetOwner,
    /// How many rings there are.
    GetRingCount,
    /// The memory is this, each part with a descriptor.
    SetMemory(Vec<Region>),
    /// How many parts the memory may have.
    GetMemorySlots,
    /// One comes, with a descriptor.
    AddMemory(Region),
    /// One goes.
    RemoveMemory(Region),
    /// A ring has so many places.
    SetSize(usize, u32),
    /// Where a ring is, for QEMU.
    SetPlaces {
        /// Which.
        ring: usize,
        /// Its descriptors.
        descriptors: u64,
        /// Where they are given.
        available: u64,
        /// Where they are given back.
        used: u64,
    },
    /// A ring goes on from there.
    SetBase(usize, u16),
    /// A ring stops; the answer is from where it goes on.
    GetBase(usize),
    /// By which descriptor the driver tells of new buffers; none if there is none.
    SetKick(usize, bool),
    /// By which descriptor it is told of used ones.
    SetCall(usize, bool),
    /// By which descriptor QEMU is told of errors, which nobody is here.
    SetError,
    /// A ring is used or not.
    Enable(usize, bool),
    /// Bytes of the configuration.
    GetConfiguration {
        /// The first.
        offset: u32,
        /// How many.
        size: u32,
        /// What for.
        flags: u32,
    },
    /// Something that was not offered.
    Other(u32),
}

impl Header {
    /// Reads one.
    pub fn read(bytes: &[u8; HEADER]) -> Result<Header, Broken> {
        let (kind, flags) = (number_at!(u32, bytes, 0), number_at!(u32, bytes, 4));
        let size = number_at!(u32, bytes, 8) as usize;
        if flags & VERSION_BITS != VERSION || flags & IS_ANSWER != 0 {
            return Err(Broken("QEMU speaks another version of vhost-user"));
        }
        if size > LONGEST {
            return Err(Broken("QEMU says more than there is to be said"));
        }
        Ok(Header { kind, flags, size })
    }

    /// Whether an answer is wanted to what has none by itself.
    pub fn wants_answer(&self) -> bool {
        self.flags & WANTS_ANSWER != 0
    }

    /// Understands the body, which is as long as the header says.
    pub fn request(&self, body: &[u8]) -> Result<Request, Broken> {
        let least = match self.kind {
            kind::SET_MEM_TABLE | kind::SET_VRING_NUM | kind::SET_VRING_BASE | kind::GET_VRING_BASE => 8,
            kind::SET_VRING_KICK | kind::SET_VRING_CALL | kind::SET_VRING_ENABLE => 8,
            kind::SET_VRING_ADDR | kind::ADD_MEM_REG | kind::REM_MEM_REG => 40,
            kind::GET_CONFIG => 12,
            _ => 0,
        };
        if body.len() < least {
            return Err(Broken("QEMU says too little"));
        }
        let half = |at| number_at!(u32, body, at);
        let whole = |at| number_at!(u64, body, at);
        // What says a ring and a number; and what says of a ring whether a descriptor comes with it.
        let ring = || half(0) as usize;
        let (bell, has_descriptor) = (|| half(0) as usize & 0xff, || half(0) & (1 << 8) == 0);
        Ok(match self.kind {
            kind::GET_FEATURES => Request::GetFeatures,
            kind::SET_FEATURES => Request::SetFeatures,
            kind::GET_PROTOCOL_FEATURES => Request::GetProtocolFeatures,
            kind::SET_PROTOCOL_FEATURES => Request::SetProtocolFeatures,
            kind::SET_OWNER | kind::RESET_OWNER => Request::SetOwner,
            kind::GET_QUEUE_NUM => Request::GetRingCount,
            kind::SET_MEM_TABLE => Request::SetMemory(regions(body)?),
            kind::GET_MAX_MEM_SLOTS => Request::GetMemorySlots,
            kind::ADD_MEM_REG => Request::AddMemory(region(&body[8..])?),
            kind::REM_MEM_REG => Request::RemoveMemory(region(&body[8..])?),
            kind::SET_VRING_NUM => Request::SetSize(ring(), half(4)),
            kind::SET_VRING_ADDR => Request::SetPlaces {
                ring: ring(),
                descriptors: whole(8),
                used: whole(16),
                available: whole(24),
            },
            kind::SET_VRING_BASE => Request::SetBase(ring(), half(4) as u16),
            kind::GET_VRING_BASE => Request::GetBase(ring()),
            kind::SET_VRING_KICK => Request::SetKick(bell(), has_descriptor()),
            kind::SET_VRING_CALL => Request::SetCall(bell(), has_descriptor()),
            kind::SET_VRING_ERR => Request::SetError,
            kind::SET_VRING_ENABLE => Request::Enable(ring(), half(4) != 0),
            kind::GET_CONFIG => Request::GetConfiguration { offset: half(0), size: half(4), flags: half(8) },
            other => Request::Other(other),
        })
    }

    /// The answer with this body.
    pub fn answer(&self, body: &[u8]) -> Vec<u8> {
        let mut answer = Vec::with_capacity(HEADER + body.len());
        for number in [self.kind, VERSION | IS_ANSWER, body.len() as u32] {
            answer.extend_from_slice(&number.to_le_bytes());
        }
        answer.extend_from_slice(body);
        answer
    }
}

const REGION: usize = 32;

fn regions(body: &[u8]) -> Result<Vec<Region>, Broken> {
    let count = number_at!(u32, body, 0) as usize;
    let listed = &body[8..];
    if count > MOST_REGIONS || listed.len() < count * REGION {
        return Err(Broken("QEMU has more memory than it can say"));
    }
    listed.chunks_exact(REGION).take(count).map(region).collect()
}

fn region(bytes: &[u8]) -> Result<Region, Broken> {
    let region = Region {
        guest: number_at!(u64, bytes, 0),
        size: number_at!(u64, bytes, 8),
        user: number_at!(u64, bytes, 16),
        offset: number_at!(u64, bytes, 24),
    };
    let ends = [region.guest, region.user, region.offset].map(|begin| begin.checked_add(region.size));
    if region.size == 0 || ends.contains(&None) {
        return Err(Broken("QEMU has memory where none can be"));
    }
    Ok(region)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(kind: u32, flags: u32, numbers: &[u64]) -> Result<Request, Broken> {
        let body: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[4..8].copy_from_slice(&flags.to_le_bytes());
        header[8..].copy_from_slice(&(body.len() as u32).to_le_bytes());
        Header::read(&header)?.request(&body)
    }

    #[test]
    fn requests_of_qemu_are_understood() {
        let memory = asked(5, 1, &[1, 0x1000, 0x2000, 0x7f00_0000, 0x3000]).unwrap();
        let region = Region { guest: 0x1000, size: 0x2000, user: 0x7f00_0000, offset: 0x3000 };
        assert_eq!(memory, Request::SetMemory(vec![region]));
        assert_eq!(asked(37, 9, &[0, 0x1000, 0x2000, 0x7f00_0000, 0x3000]), Ok(Request::AddMemory(region)));
        assert_eq!(
            asked(38, 9, &[0, 0x1000, 0x2000, 0x7f00_0000, 0x3000]),
            Ok(Request::RemoveMemory(region))
        );
        assert_eq!(asked(8, 1, &[128 << 32 | 1]), Ok(Request::SetSize(1, 128)));
        let places = Request::SetPlaces { ring: 1, descriptors: 16, available: 48, used: 32 };
        assert_eq!(asked(9, 1, &[1, 16, 32, 48, 0]), Ok(places));
        assert_eq!(asked(10, 9, &[7 << 32]), Ok(Request::SetBase(0, 7)));
        assert_eq!(asked(12, 1, &[1]), Ok(Request::SetKick(1, true)));
        assert_eq!(asked(13, 1, &[1 << 8]), Ok(Request::SetCall(0, false)));
        assert_eq!(asked(18, 1, &[1 << 32 | 1]), Ok(Request::Enable(1, true)));
        assert_eq!(asked(99, 1, &[]), Ok(Request::Other(99)));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (kind, flags, numbers) in [
            (1, 2, &[][..]),
            (1, 5, &[]),
            (9, 1, &[0, 0, 0]),
            (5, 1, &[2, 0, 1, 0, 0]),
            (5, 1, &[1, u64::MAX, 2, 0, 0]),
            (5, 1, &[1, 0, 0, 0, 0]),
            (1, 1, &[0; 40]),
            (37, 9, &[0, 0, 0, 0, 0]),
            (37, 9, &[0, 0, 1, 0]),
        ] {
            assert!(asked(kind, flags, numbers).is_err(), "{kind} {numbers:?}");
        }
    }

    #[test]
    fn an_answer_says_what_it_answers() {
        let header = Header { kind: 11, flags: 9, size: 8 };
        assert!(header.wants_answer());
        assert_eq!(header.answer(&[1, 2]), [11, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 1, 2]);
    }

    proptest! {
        #[test]
        fn nothing_that_is_said_does_harm(kind in 0_u32..45, body in prop::collection::vec(any::<u8>(), 0..LONGEST)) {
            let _ = Header { kind, flags: 1, size: body.len() }.request(&body);
        }
    }
}

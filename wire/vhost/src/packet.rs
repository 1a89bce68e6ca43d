//! The packets of virtio sockets: a header, and for some bytes behind it.

use crate::number_at;

/// The length of a header.
pub const HEADER: usize = 44;
/// The number of a machine's host.
pub const HOST: u64 = 2;
/// Streams; there are other kinds of sockets.
pub const STREAM: u16 = 1;
/// Who shuts down hears nothing more.
pub const HEARS_NO_MORE: u32 = 1;
/// Who shuts down says nothing more.
pub const SAYS_NO_MORE: u32 = 2;

/// What a packet is for.
pub mod operation {
    /// A connection is wanted.
    pub const REQUEST: u16 = 1;
    /// It is had.
    pub const RESPONSE: u16 = 2;
    /// There is none, or none any more.
    pub const RESET: u16 = 3;
    /// One side will not hear, or say, anything more.
    pub const SHUTDOWN: u16 = 4;
    /// Bytes.
    pub const DATA: u16 = 5;
    /// There is room again.
    pub const CREDIT: u16 = 6;
    /// How much room is there?
    pub const CREDIT_REQUEST: u16 = 7;
}

/// A header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The machine that it comes from.
    pub source: u64,
    /// The machine that it is for.
    pub target: u64,
    /// The port that it comes from.
    pub source_port: u32,
    /// The port that it is for.
    pub target_port: u32,
    /// How many bytes follow.
    pub length: u32,
    /// What kind of socket it is about.
    pub kind: u16,
    /// What it is for.
    pub operation: u16,
    /// How, for a shutdown.
    pub flags: u32,
    /// How much the sender takes before any of it is used.
    pub room: u32,
    /// How many bytes the sender has used so far.
    pub used: u32,
}

impl Header {
    /// Reads one.
    pub fn read(bytes: &[u8; HEADER]) -> Header {
        Header {
            source: number_at!(u64, bytes, 0),
            target: number_at!(u64, bytes, 8),
            source_port: number_at!(u32, bytes, 16),
            target_port: number_at!(u32, bytes, 20),
            length: number_at!(u32, bytes, 24),
            kind: number_at!(u16, bytes, 28),
            operation: number_at!(u16, bytes, 30),
            flags: number_at!(u32, bytes, 32),
            room: number_at!(u32, bytes, 36),
            used: number_at!(u32, bytes, 40),
        }
    }

    /// Writes it.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&self.source.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.target.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.source_port.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.target_port.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.length.to_le_bytes());
        bytes[28..30].copy_from_slice(&self.kind.to_le_bytes());
        bytes[30..32].copy_from_slice(&self.operation.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.flags.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.room.to_le_bytes());
        bytes[40..].copy_from_slice(&self.used.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_written_as_it_is_read() {
        let bytes: [u8; HEADER] = std::array::from_fn(|index| index as u8);
        let header = Header::read(&bytes);
        assert_eq!((header.source_port, header.kind, header.operation), (0x1312_1110, 0x1d1c, 0x1f1e));
        assert_eq!(header.bytes(), bytes);
    }
}

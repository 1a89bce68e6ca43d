//! Numbers and names as both forms of files have them: the lowest byte first.

pub fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(some(bytes, at))
}

pub fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(some(bytes, at))
}

pub fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(some(bytes, at))
}

/// As many bytes as are wanted.
pub fn some<const LENGTH: usize>(bytes: &[u8], at: usize) -> [u8; LENGTH] {
    let mut part = [0; LENGTH];
    part.copy_from_slice(&bytes[at..at + LENGTH]);
    part
}

//! Names that nobody can guess, from the kernel's random numbers.

use hcs_schema::Guid;

/// A GUID of random bits.
pub fn guid() -> Guid {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            // The kernel refuses only before it has booted.
            Err(_) => break,
        }
    }
    bytes[6] = (bytes[6] & 0x0F) | 0x40;
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    Guid::from_bytes(bytes)
}

//! Names that nobody can guess, from the kernel's random numbers.

use hcs_schema::Guid;

/// A GUID of random bits.
pub fn guid() -> Guid {
    let mut bits = [0; 16];
    // So few are given whole or not at all, and refused only before the kernel has booted.
    while rustix::rand::getrandom(&mut bits, rustix::rand::GetRandomFlags::empty())
        == Err(rustix::io::Errno::INTR)
    {}
    Guid::from_random(bits)
}

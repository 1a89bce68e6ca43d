//! Random numbers of the kernel, for secrets and for names that no other has.

use hcs_schema::Guid;
use rustix::{
    io::Errno,
    rand::{GetRandomFlags, getrandom},
};

/// So many random bytes, which nobody can guess.
pub fn bytes<const N: usize>() -> Result<[u8; N], Errno> {
    // So few are given whole or not at all.
    const { assert!(N <= 256) };
    let mut bytes = [0; N];
    loop {
        match getrandom(&mut bytes, GetRandomFlags::empty()) {
            Err(Errno::INTR) => {}
            filled => return filled.map(|_| bytes),
        }
    }
}

/// A name. Secrets are made of [`bytes`]: this is the same each time where the kernel refuses them, which it does only to who
/// may not ask.
pub fn guid() -> Guid {
    Guid::from_random(bytes().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_random_is_another_each_time() {
        assert_ne!(bytes::<16>().unwrap(), bytes::<16>().unwrap());
        assert_ne!(guid(), guid());
    }
}

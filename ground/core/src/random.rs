//! Random numbers of the kernel, for secrets and for names that no other has.

use hcs_schema::Guid;
use rustix::{
    io::Errno,
    rand::{GetRandomFlags, getrandom},
};

/// So many random bytes, which nobody can guess.
pub fn bytes<const N: usize>() -> Result<[u8; N], Errno> {
    /// So many are given whole or not at all.
    const AT_ONCE: usize = 256;
    let mut bytes = [0; N];
    for piece in bytes.chunks_mut(AT_ONCE) {
        while let Err(errno) = getrandom(&mut *piece, GetRandomFlags::empty()) {
            if errno != Errno::INTR {
                return Err(errno);
            }
        }
    }
    Ok(bytes)
}

/// The token of a session: who has it is taken for who began that.
pub fn secret() -> Result<Guid, Errno> {
    bytes().map(Guid::from_random)
}

/// A name, and no [`secret`]: it is the same each time where the kernel refuses random numbers, which it does only to who may
/// not ask.
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

    #[test]
    fn many_are_random_to_the_last() {
        let many = bytes::<520>().unwrap();
        assert_ne!(many[256..512], [0; 256]);
        assert_ne!(many[512..], [0; 8]);
    }
}

//! GUIDs as disk formats have them.

use hcs_schema::Guid;

/// Its bytes as GPT and VHDX store them: the first three fields with the lowest byte first.
pub(crate) fn stored(guid: &Guid) -> [u8; 16] {
    let mut bytes = *guid.as_bytes();
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// The stored form of a GUID that is written as a number, digit by digit.
pub(crate) const fn from_digits(digits: u128) -> [u8; 16] {
    let b = digits.to_be_bytes();
    [b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fields_are_stored_backwards() {
        let guid: Guid = "0fc63daf-8483-4772-8e79-3d69d8477de4".parse().unwrap();
        assert_eq!(stored(&guid), from_digits(0x0fc63daf_8483_4772_8e79_3d69d8477de4));
        assert_eq!(stored(&guid)[..4], [0xaf, 0x3d, 0xc6, 0x0f]);
    }
}

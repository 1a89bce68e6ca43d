//! The checksums of disk formats. Only headers are summed, so a loop over bits is quick enough.

/// CRC-32 as GPT has it.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc(bytes, 0xEDB8_8320)
}

/// CRC-32C as VHDX has it.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc(bytes, 0x82F6_3B78)
}

fn crc(bytes: &[u8], polynomial: u32) -> u32 {
    let step = |rest: u32, byte: &u8| {
        (0..8)
            .fold(rest ^ u32::from(*byte), |rest, _| (rest >> 1) ^ if rest & 1 == 1 { polynomial } else { 0 })
    };
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_values_of_both_are_right() {
        assert_eq!(super::crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(super::crc32c(b"123456789"), 0xE306_9283);
    }
}

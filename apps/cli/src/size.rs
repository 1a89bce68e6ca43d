//! Sizes as people write them.

/// A number of bytes, or one with K, M, G or T behind it.
pub fn parse(text: &str) -> Result<u64, String> {
    const UNITS: [char; 4] = ['K', 'M', 'G', 'T'];
    let unit = UNITS.iter().position(|unit| text.ends_with(*unit));
    let digits = if unit.is_some() { &text[..text.len() - 1] } else { text };
    let factor = 1u64 << (10 * unit.map_or(0, |unit| unit + 1));
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number.ok_or_else(|| "expected a number of bytes, or one with K, M, G or T behind it".to_owned())
}

/// The same as a number of megabytes, in which systems count their memory.
pub fn megabytes(text: &str) -> Result<u64, String> {
    const MEGABYTE: u64 = 1 << 20;
    match parse(text)? {
        bytes if bytes > 0 && bytes % MEGABYTE == 0 => Ok(bytes / MEGABYTE),
        bytes => Err(format!("found {bytes} bytes, expected a whole number of megabytes, as in 64M")),
    }
}

#[cfg(test)]
mod tests {
    use super::{megabytes, parse};

    #[test]
    fn a_size_is_bytes_or_powers_of_1024() {
        assert_eq!((parse("0"), parse("512"), parse("3M")), (Ok(0), Ok(512), Ok(3 << 20)));
        for wrong in ["", "M", "1m", "1.5G", "-1", "99999999T"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn memory_that_is_no_number_of_megabytes_is_refused() {
        assert_eq!((megabytes("64M"), megabytes("1048576")), (Ok(64), Ok(1)));
        for wrong in ["0", "5", "512K", "1536K"] {
            assert!(megabytes(wrong).is_err(), "{wrong:?}");
        }
    }
}

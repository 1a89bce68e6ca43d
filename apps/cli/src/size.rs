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

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_size_is_bytes_or_powers_of_1024() {
        assert_eq!((parse("0"), parse("512"), parse("3M")), (Ok(0), Ok(512), Ok(3 << 20)));
        for wrong in ["", "M", "1m", "1.5G", "-1", "99999999T"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}

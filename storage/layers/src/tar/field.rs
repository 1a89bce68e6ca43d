//! What the fields of headers and the lines of PAX say. Nothing here trusts a number.

use std::io;

use super::{BLOCK, damaged};
use crate::entry::Time;

/// The lines of PAX: length in digits, blank, key, `=`, value, end of line. A value may contain anything.
pub fn pairs(mut bytes: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let wrong = || damaged("a line of PAX that is none");
        let blank = bytes.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let digits = std::str::from_utf8(&bytes[..blank]).ok().and_then(|text| text.parse::<usize>().ok());
        let length = digits.filter(|length| (blank + 1..=bytes.len()).contains(length)).ok_or_else(wrong)?;
        let line = bytes[blank + 1..length].strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = line.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
        found.push((line[..equals].to_vec(), line[equals + 1..].to_vec()));
        bytes = &bytes[length..];
    }
    Ok(found)
}

/// Text up to its NUL.
pub fn text(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

/// A number that is not below zero, as [`signed`].
pub fn number(field: &[u8]) -> io::Result<u64> {
    u64::try_from(signed(field)?).map_err(|_| damaged("a number below zero"))
}

/// Octal digits between blanks, or a binary number where the first bit is set.
pub fn signed(field: &[u8]) -> io::Result<i64> {
    if field[0] & 0x80 != 0 {
        let is_negative = field[0] & 0x40 != 0;
        let first = if is_negative { i64::from(field[0] as i8) } else { i64::from(field[0] & 0x7f) };
        let next = |value: i64, byte: &u8| {
            let shifted = value.checked_mul(256)?;
            shifted.checked_add(i64::from(*byte))
        };
        let value = field[1..].iter().try_fold(if is_negative { first | !0xff } else { first }, next);
        return value.ok_or_else(|| damaged("a number that is too large"));
    }
    let digits: Vec<u8> = field
        .iter()
        .copied()
        .skip_while(|byte| *byte == b' ')
        .take_while(|byte| !b" \0".contains(byte))
        .collect();
    let next = |value: i64, byte: &u8| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    };
    digits.iter().try_fold(0, next).ok_or_else(|| damaged("a number that is none"))
}

/// Whether a header is as it was written.
pub fn check_sum(header: &[u8; BLOCK]) -> io::Result<()> {
    let bytes = header.iter().enumerate().map(|(index, byte)| match index {
        148..156 => u64::from(b' '),
        _ => u64::from(*byte),
    });
    // A fuzzer cannot know it, and would get no further.
    if number(&header[148..156])? == bytes.sum::<u64>() || cfg!(fuzzing) {
        Ok(())
    } else {
        Err(damaged("a header with a wrong sum"))
    }
}

/// `seconds[.fraction]`, maybe negative.
pub fn time(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some(Time { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds });
    }
    Some(Time { seconds, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions_and_may_be_before_1970() {
        assert_eq!(time("1.5"), Some(Time { seconds: 1, nanoseconds: 500_000_000 }));
        assert_eq!(time("7"), Some(Time { seconds: 7, nanoseconds: 0 }));
        assert_eq!(time("-1.25"), Some(Time { seconds: -2, nanoseconds: 750_000_000 }));
        assert_eq!(time("1.0000000019"), Some(Time { seconds: 1, nanoseconds: 1 }));
        assert_eq!(time("x"), None);
        assert_eq!(time("1.x"), None);
    }

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000755\0").unwrap(), 0o755);
        assert_eq!(number(b" 755  \0").unwrap(), 0o755);
        assert_eq!(number(b"\0\0\0\0").unwrap(), 0);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]).unwrap(), 256);
        assert_eq!(signed(&[0xff; 8]).unwrap(), -1);
        assert!(number(b"0000789\0").is_err());
        assert!(number(&[0xbf; 12]).is_err());
    }

    #[test]
    fn a_value_of_pax_may_have_ends_of_lines() {
        let line = b"25 SCHILY.xattr.a=x\n=\ny\n\n";
        assert_eq!(line.len(), 25);
        assert_eq!(pairs(line).unwrap(), [(b"SCHILY.xattr.a".to_vec(), b"x\n=\ny\n".to_vec())]);
        for wrong in [&b"5 a=b"[..], b"99 a=b\n", b"0 \n", b"a=b\n", b"6 ab\n\n"] {
            assert!(pairs(wrong).is_err(), "{:?}", String::from_utf8_lossy(wrong));
        }
    }
}

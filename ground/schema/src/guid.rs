//! GUIDs: ids of systems, layers, endpoints, services and much else.
//!
//! Text is read with or without braces and in either case, as clients write it, and written in lower case
//! without braces.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, str::FromStr};

/// A GUID, as the sixteen bytes of its text from left to right (the order of RFC 9562, not of a C structure).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid([u8; 16]);

/// The text is no GUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a GUID (8-4-4-4-12 hexadecimal digits)")]
pub struct NotAGuid;

impl Guid {
    /// All zeros; often means "none".
    pub const NIL: Self = Self([0; 16]);

    /// The GUID whose text shows these bytes from left to right.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The GUID of these random bits, marked as that (version 4).
    pub const fn from_random(mut bits: [u8; 16]) -> Self {
        bits[6] = (bits[6] & 0x0F) | 0x40;
        bits[8] = (bits[8] & 0x3F) | 0x80;
        Self(bits)
    }

    /// Its bytes, in the order of the text.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for Guid {
    type Err = NotAGuid;

    fn from_str(text: &str) -> Result<Self, NotAGuid> {
        let text = match text.strip_prefix('{') {
            Some(rest) => rest.strip_suffix('}').ok_or(NotAGuid)?,
            None => text,
        };
        let text = text.as_bytes();
        if text.len() != 36 {
            return Err(NotAGuid);
        }
        let mut digits = 0;
        let mut bytes = [0; 16];
        for (position, &byte) in text.iter().enumerate() {
            if matches!(position, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return Err(NotAGuid);
                }
                continue;
            }
            let digit = char::from(byte).to_digit(16).ok_or(NotAGuid)?;
            bytes[digits / 2] = bytes[digits / 2] << 4 | digit as u8;
            digits += 1;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guid({self})")
    }
}

impl Serialize for Guid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Guid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Guid;

    #[test]
    fn text_has_the_order_of_the_bytes() {
        let guid: Guid = "{01234567-89AB-cdef-0123-456789abcdef}".parse().unwrap();
        assert_eq!(guid.as_bytes()[..4], [0x01, 0x23, 0x45, 0x67]);
        assert_eq!(guid.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(Guid::from_bytes(*guid.as_bytes()), guid);
        assert_eq!(Guid::NIL.to_string(), "00000000-0000-0000-0000-000000000000");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "{}",
            "0123456789abcdef0123456789abcdef",
            "{01234567-89ab-cdef-0123-456789abcdef",
            "01234567-89ab-cdef-0123-456789abcdef}",
            "01234567-89ab-cdef-0123-456789abcde",
            "01234567-89ab-cdef-0123-456789abcdefg",
            "01234567-89ab-cdef-0123_456789abcdef",
            "g1234567-89ab-cdef-0123-456789abcdef",
            "+1234567-89ab-cdef-0123-456789abcdef",
            "é1234567-89ab-cdef-0123-456789abcde",
        ] {
            assert!(text.parse::<Guid>().is_err(), "{text}");
        }
    }
}

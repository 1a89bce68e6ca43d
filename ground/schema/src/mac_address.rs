//! MAC addresses of virtual network adapters.
//!
//! The schema writes `AA-BB-CC-DD-EE-FF`; the colons usual on Linux are read as well.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, str::FromStr};

/// A MAC address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

/// The text is no MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a MAC address (AA-BB-CC-DD-EE-FF)")]
pub struct NotAMacAddress;

impl MacAddress {
    /// The address with these bytes, first sent first.
    pub const fn from_bytes(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// Its bytes, first sent first.
    pub const fn as_bytes(&self) -> &[u8; 6] {
        &self.0
    }
}

impl FromStr for MacAddress {
    type Err = NotAMacAddress;

    fn from_str(text: &str) -> Result<Self, NotAMacAddress> {
        let separator = if text.contains(':') { ':' } else { '-' };
        let mut parts = text.split(separator);
        let mut bytes = [0; 6];
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(NotAMacAddress)?;
            let mut digits = part.chars().map(|digit| digit.to_digit(16));
            match (digits.next().flatten(), digits.next().flatten()) {
                (Some(high), Some(low)) => *byte = (high << 4 | low) as u8,
                _ => return Err(NotAMacAddress),
            }
        }
        if parts.next().is_some() { Err(NotAMacAddress) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02X}-{b:02X}-{c:02X}-{d:02X}-{e:02X}-{g:02X}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MacAddress({self})")
    }
}

impl Serialize for MacAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::MacAddress;

    #[test]
    fn both_separators_are_read() {
        let mac: MacAddress = "00-15-5d-01-02-ff".parse().unwrap();
        assert_eq!(mac, "00:15:5D:01:02:FF".parse().unwrap());
        assert_eq!(mac.to_string(), "00-15-5D-01-02-FF");
        assert_eq!(MacAddress::from_bytes(*mac.as_bytes()), mac);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "00155d0102ff",
            "00-15-5d-01-02",
            "00-15-5d-01-02-03-04",
            "00-15:5d-01-02-03",
            "é-1-1-1-1-1",
            "0x-15-5d-01-02-03",
        ] {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }
}

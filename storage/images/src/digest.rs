//! Digests that name content: in the store, in layouts, and in what registries say. What comes from outside is one only after it
//! was looked at, so one is safe as a name of a file.

use std::fmt;

use hcs_core::{Cause, Error};

/// The digest of some bytes, SHA-256. It is safe as part of a file's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

const PREFIX: &str = "sha256:";

impl Digest {
    /// Reads one.
    pub fn new(text: &str) -> Result<Digest, Error> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.strip_prefix(PREFIX) {
            Some(digits) if digits.len() == 64 && digits.bytes().all(is_digit) => Ok(Digest(text.to_owned())),
            _ => Err(Error::new(
                Cause::InvalidData,
                format!("found the digest {text:?}, expected sha256: and 64 hexadecimal digits"),
            )),
        }
    }

    /// That of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(hcs_layers::digest::of(bytes))
    }

    /// The whole.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its digits.
    pub fn digits(&self) -> &str {
        &self.0[PREFIX.len()..]
    }

    /// Where an OCI layout has the bytes.
    pub fn in_layout(&self) -> String {
        format!("blobs/sha256/{}", self.digits())
    }

    /// Fails if these are other bytes.
    pub fn check(&self, what: &str, found: &str) -> Result<(), Error> {
        if found == self.0 {
            return Ok(());
        }
        Err(Error::new(
            Cause::InvalidData,
            format!("the {what} is damaged: its digest is {found}, expected {self}"),
        ))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

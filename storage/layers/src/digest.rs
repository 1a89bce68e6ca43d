//! The digest that names content in images.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

/// `sha256:` and the digits of what was hashed.
pub(crate) fn text(hash: Sha256) -> String {
    let digits = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("sha256:{digits}")
}

/// The digest of these bytes.
pub fn of(bytes: &[u8]) -> String {
    text(Sha256::new_with_prefix(bytes))
}

/// Hashes and counts what is read or written through it.
pub struct Hashed<T> {
    through: T,
    hash: Sha256,
    length: u64,
}

impl<T> Hashed<T> {
    /// Nothing yet.
    pub fn new(through: T) -> Hashed<T> {
        Hashed { through, hash: Sha256::new(), length: 0 }
    }

    /// What it went through, the digest, and how many bytes it were.
    pub fn finish(self) -> (T, String, u64) {
        (self.through, text(self.hash), self.length)
    }

    /// How many bytes went through so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    fn note(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
    }
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.through.read(buffer)?;
        self.note(&buffer[..length]);
        Ok(length)
    }
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.through.write(bytes)?;
        self.note(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.through.flush()
    }
}

//! An archive of somebody who is not trusted, on its way to its reader, which keeps in memory whatever is said of a file before the
//! file. What would have it keep more than is sensible is an error here.

use std::io::{self, Read};

/// The unit of archives.
const BLOCK: usize = 512;
/// The longest that may be said of a file: a name, and Linux has none that is longer.
const LONGEST: u64 = 64 << 10;
const MOST_FILES: usize = 1 << 20;

/// The archive.
pub struct Bounded<R> {
    from: R,
    /// What is passed on next, because it had to be looked at.
    seen: io::Cursor<Vec<u8>>,
    /// How much of a file's content comes after that.
    content: u64,
    files: usize,
}

impl<R: Read> Bounded<R> {
    /// Reads this one.
    pub fn new(from: R) -> Bounded<R> {
        Bounded { from, seen: io::Cursor::default(), content: 0, files: 0 }
    }

    /// Looks at the next header, and at all that belongs to it if it says something of a file.
    fn look(&mut self) -> io::Result<()> {
        let mut block = vec![0; BLOCK];
        match self.from.read_exact(&mut block) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let header = tar::Header::from_byte_slice(&block);
        let kind = header.entry_type();
        let size = if block.iter().all(|byte| *byte == 0) { 0 } else { header.entry_size()? };
        let padded =
            size.checked_next_multiple_of(BLOCK as u64).ok_or_else(|| refused("a size that no file has"))?;
        let is_about_a_file = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        if kind.is_gnu_sparse() {
            return Err(refused("a file with holes, which no tar writes without being told"));
        }
        self.files += 1;
        if self.files > MOST_FILES {
            return Err(refused("more than a million files"));
        }
        if is_about_a_file {
            if size > LONGEST {
                return Err(refused("more said of a file than any file has"));
            }
            (&mut self.from).take(padded).read_to_end(&mut block)?;
            // With another size than its header's, the next header would be looked for in the wrong place.
            if block[BLOCK..].windows(6).any(|part| part == b" size=") {
                return Err(refused("a size that is not in its header"));
            }
        } else {
            self.content = padded;
        }
        self.seen = io::Cursor::new(block);
        Ok(())
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.seen.read(buffer)?;
        if length > 0 || buffer.is_empty() {
            return Ok(length);
        }
        if self.content == 0 {
            self.look()?;
            return self.seen.read(buffer);
        }
        let most = usize::try_from(self.content).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.from.read(&mut buffer[..most])?;
        self.content -= length as u64;
        Ok(length)
    }
}

fn refused(found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the archive is refused: found {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        fill(&mut builder);
        builder.into_inner().unwrap()
    }

    fn passed(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Bounded::new(bytes).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn an_honest_archive_passes_byte_by_byte() {
        let bytes = archive(|builder| {
            for (name, length) in
                [("a".to_owned(), 0), ("b/".to_owned() + &"c".repeat(200), 700), ("d".to_owned(), 512)]
            {
                let mut header = tar::Header::new_gnu();
                header.set_size(length);
                builder.append_data(&mut header, name, io::repeat(7).take(length)).unwrap();
            }
        });
        assert!(passed(&bytes).unwrap() == bytes);
    }

    #[test]
    fn who_says_too_much_of_a_file_is_refused_before_it_is_read() {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_size(8 << 30);
        header.set_cksum();
        let error = passed(header.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("more said of a file"), "{error}");
    }

    #[test]
    fn a_size_beside_the_header_is_refused() {
        let record = b"13 size=9999\n";
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_size(record.len() as u64);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(record);
        bytes.resize(2 * BLOCK, 0);
        let error = passed(&bytes).unwrap_err();
        assert!(error.to_string().contains("not in its header"), "{error}");
    }
}

//! Files with holes: where the bytes belong that the archive has of them, in the two forms of GNU.

use std::io::{self, Read};

use super::{BLOCK, Member, Reader, damaged, field::number};

/// The most pieces of a sparse file.
const MOST_PIECES: usize = 1 << 18;

/// What PAX says of a sparse file.
#[derive(Default)]
pub struct Sparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) is_old: bool,
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
}

impl Sparse {
    fn version(&self) -> Option<(u64, u64)> {
        match (self.major, self.is_old) {
            (Some(major), _) => Some((major, self.minor.unwrap_or(0))),
            (None, true) => Some((0, 1)),
            (None, false) => None,
        }
    }
}

impl<R: Read> Reader<R> {
    /// The map of a sparse file in the header and in blocks behind it.
    pub(super) fn old_sparse(&mut self, header: &[u8; BLOCK], member: &mut Member) -> io::Result<()> {
        const PAIR: usize = 24;
        let mut pieces = Vec::new();
        let mut take = |from: &[u8]| -> io::Result<()> {
            for pair in from.chunks_exact(PAIR).filter(|pair| pair[0] != 0) {
                pieces.push((number(&pair[..12])?, number(&pair[12..])?));
            }
            if pieces.len() > MOST_PIECES { Err(damaged("a file in too many pieces")) } else { Ok(()) }
        };
        take(&header[386..482])?;
        member.size = number(&header[483..495])?;
        let mut goes_on = header[482] != 0;
        while goes_on {
            let mut more = [0; BLOCK];
            self.from.read_exact(&mut more)?;
            take(&more[..504])?;
            goes_on = more[504] != 0;
        }
        member.pieces = Some(pieces);
        member.kind = b'0';
        Ok(())
    }

    /// The map at the beginning of the content, as GNU writes it in PAX archives.
    pub(super) fn new_sparse(&mut self, sparse: Sparse, member: &mut Member) -> io::Result<()> {
        let Some(version) = sparse.version() else { return Ok(()) };
        if version != (1, 0) {
            return Err(damaged(format!("a sparse file of the unknown form {}.{}", version.0, version.1)));
        }
        member.path = sparse.name.unwrap_or_else(|| member.path.clone());
        member.size = sparse.size.ok_or_else(|| damaged("a sparse file of no size"))?;
        let mut map = Map { from: &mut self.from, left: member.stored, block: [0; BLOCK], at: BLOCK };
        let count = map.number()?;
        if count > MOST_PIECES as u64 {
            return Err(damaged("a file in too many pieces"));
        }
        let pieces = (0..count).map(|_| Ok((map.number()?, map.number()?)));
        member.pieces = Some(pieces.collect::<io::Result<_>>()?);
        member.stored = map.left;
        Ok(())
    }
}

/// The numbers at the beginning of a sparse file, one a line, in whole blocks.
struct Map<'a, R> {
    from: &'a mut R,
    left: u64,
    block: [u8; BLOCK],
    at: usize,
}

impl<R: Read> Map<'_, R> {
    fn number(&mut self) -> io::Result<u64> {
        let mut value = 0u64;
        loop {
            if self.at == BLOCK {
                self.left =
                    self.left.checked_sub(BLOCK as u64).ok_or_else(|| damaged("a map that does not end"))?;
                self.from.read_exact(&mut self.block)?;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'0'..=b'9' => {
                    let next =
                        value.checked_mul(10).and_then(|value| value.checked_add(u64::from(byte - b'0')));
                    value = next.ok_or_else(|| damaged("a number that is too large"))?;
                }
                b'\n' => return Ok(value),
                _ => return Err(damaged("a map that is none")),
            }
        }
    }
}

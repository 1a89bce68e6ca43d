//! The memory of the guest, as QEMU has it.

use std::{ops::Range, os::fd::OwnedFd};

use hcs_memory::Mapping;
use hcs_vhost::{message::Region, ring::Memory};
use rustix::io::Errno;

/// All of it that there is.
#[derive(Debug, Default)]
pub struct Guest(Vec<Part>);

#[derive(Debug)]
struct Part {
    region: Region,
    mapping: Mapping,
}

impl Part {
    fn map(region: Region, file: &OwnedFd) -> Result<Part, Errno> {
        let length = region.offset.checked_add(region.size).ok_or(Errno::OVERFLOW)?;
        let length = usize::try_from(length).map_err(|_| Errno::OVERFLOW)?;
        Ok(Part { region, mapping: Mapping::beginning(file, length)? })
    }
}

impl Guest {
    /// Maps these parts, each of its file.
    pub fn map(regions: &[Region], files: &[OwnedFd]) -> Result<Guest, Errno> {
        if regions.len() != files.len() {
            return Err(Errno::INVAL);
        }
        regions
            .iter()
            .zip(files)
            .map(|(region, file)| Part::map(*region, file))
            .collect::<Result<_, _>>()
            .map(Guest)
    }

    /// One part comes, with its file.
    pub fn add(&mut self, region: Region, files: &[OwnedFd]) -> Result<(), Errno> {
        self.0.push(Part::map(region, files.first().ok_or(Errno::INVAL)?)?);
        Ok(())
    }

    /// One goes.
    pub fn remove(&mut self, region: Region) {
        let is_it = |part: &Part| {
            (part.region.guest, part.region.user, part.region.size)
                == (region.guest, region.user, region.size)
        };
        self.0.retain(|part| !is_it(part));
    }

    /// How many there are.
    pub fn parts(&self) -> usize {
        self.0.len()
    }

    /// Where for the guest is what is there for QEMU.
    pub fn guest_of(&self, user: u64) -> Option<u64> {
        let region = self
            .0
            .iter()
            .map(|part| part.region)
            .find(|region| user.checked_sub(region.user).is_some_and(|offset| offset < region.size))?;
        Some(region.guest + (user - region.user))
    }

    /// Does something with each part of so much memory from an address on: its mapping, where there, and which bytes of all those
    /// are; whether all of it is there and could be done.
    fn in_parts(
        &self,
        address: u64,
        length: usize,
        mut act: impl FnMut(&Mapping, u64, Range<usize>) -> bool,
    ) -> bool {
        let mut done = 0;
        while done < length {
            let here = address.wrapping_add(done as u64);
            let found = self.0.iter().find_map(|part| {
                let offset = here.checked_sub(part.region.guest)?;
                (offset < part.region.size).then_some((part, offset))
            });
            let Some((part, offset)) = found else { return false };
            let left = usize::try_from(part.region.size - offset).unwrap_or(usize::MAX);
            let end = done + left.min(length - done);
            if !act(&part.mapping, part.region.offset + offset, done..end) {
                return false;
            }
            done = end;
        }
        true
    }
}

impl Memory for Guest {
    fn read(&self, address: u64, data: &mut [u8]) -> bool {
        self.in_parts(address, data.len(), |mapping, offset, range| mapping.read(offset, &mut data[range]))
    }

    fn write(&self, address: u64, data: &[u8]) -> bool {
        self.in_parts(address, data.len(), |mapping, offset, range| mapping.write(offset, &data[range]))
    }
}

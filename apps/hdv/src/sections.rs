//! Memory of the program behind a base address: the guest reads and writes it, and the device is not asked.
//!
//! What is there before the machine gets the device is mapped by its monitor, if it can be: writable, all of one file, and at one
//! distance from it. Everything else is read and written here for the guest.

use std::os::fd::{BorrowedFd, OwnedFd};

use hcs_core::{Cause, Error};
use hcs_memory::{Mapping, PAGE, is_same};
use hcs_vfio::answer::{Area, Region};
use rustix::fs::SealFlags;

use crate::Bar;

/// Pages of a file behind a base address.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// Behind this base address.
    pub bar: Bar,
    /// From this page on.
    pub offset_pages: u64,
    /// So many.
    pub pages: u64,
    /// The guest may write them; else its writes are told to the device.
    pub writable: bool,
    /// The file, of which a duplicate is kept.
    pub file: BorrowedFd<'a>,
    /// From this page of it on.
    pub file_offset_pages: u64,
}

/// The most ranges of a device.
const MOST: usize = 4096;

struct Range {
    bar: Bar,
    offset: u64,
    length: u64,
    file: OwnedFd,
    file_offset: u64,
    mapping: Mapping,
    /// The monitor has it.
    is_given: bool,
}

/// The ranges of a device.
#[derive(Default)]
pub struct Sections(Vec<Range>);

impl Sections {
    /// One more. How long what is behind the base address is, if that is known.
    pub fn add(&mut self, section: Section<'_>, within: Option<u64>) -> Result<(), Error> {
        let bytes = |pages: u64| pages.checked_mul(PAGE);
        let range =
            bytes(section.offset_pages).zip(bytes(section.pages)).zip(bytes(section.file_offset_pages));
        let invalid = |detail: String| Err(Error::new(Cause::InvalidArgument, detail));
        let Some(((offset, length), file_offset)) = range.filter(|((offset, length), _)| {
            *length > 0
                && offset.checked_add(*length).is_some_and(|end| within.is_none_or(|within| end <= within))
        }) else {
            return invalid(format!(
                "{} pages at page {} are not there",
                section.pages, section.offset_pages
            ));
        };
        let overlaps = |range: &Range| {
            range.bar == section.bar && range.offset < offset + length && offset < range.offset + range.length
        };
        if self.0.iter().any(overlaps) {
            return invalid("a range of memory is there already".to_owned());
        }
        if self.0.len() == MOST {
            return Err(Error::new(
                Cause::NotEnoughQuota,
                format!("a device has {MOST} ranges of memory at most"),
            ));
        }
        let failed = |errno: rustix::io::Errno| Error::from_errno(errno.raw_os_error(), "mapping a section");
        let Ok(size) = usize::try_from(length) else {
            return invalid(format!("{length} bytes are too many"));
        };
        // A file that cannot be sealed is served here.
        let _ = rustix::fs::fcntl_add_seals(section.file, SealFlags::SHRINK);
        let mapping = Mapping::of(section.file, file_offset, size, section.writable).map_err(failed)?;
        let file =
            section.file.try_clone_to_owned().map_err(|error| Error::from_io(&error, "keeping a section"))?;
        self.0.push(Range { bar: section.bar, offset, length, file, file_offset, mapping, is_given: false });
        Ok(())
    }

    /// The range that begins there goes.
    pub fn remove(&mut self, bar: Bar, offset_pages: u64) -> Result<(), Error> {
        let found = self
            .0
            .iter()
            .position(|range| range.bar == bar && Some(range.offset) == offset_pages.checked_mul(PAGE));
        let found = found.ok_or_else(|| Error::new(Cause::NotFound, "no range of memory begins there"))?;
        if self.0[found].is_given {
            let detail =
                "the guest has this range mapped, because it was there before the machine got the device";
            return Err(Error::new(Cause::NotSupported, detail)
                .hint("It goes with the device. Add ranges that change after the start."));
        }
        self.0.swap_remove(found);
        Ok(())
    }

    /// All go.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// A monitor comes: what of each base address it may map, and of which file.
    pub fn give(&mut self, lengths: [u64; 6]) -> ([Region; 6], [Option<OwnedFd>; 6]) {
        let mut files = [const { None }; 6];
        // Whoever is given a part of a file has it whole.
        let kept = self.0.iter().filter(|range| !range.mapping.is_writable());
        let kept: Vec<_> = kept.map(|range| hcs_memory::identity(&range.file)).collect();
        let regions = std::array::from_fn(|index| {
            let mut region = Region { length: lengths[index], ..Region::default() };
            for range in self.0.iter_mut().filter(|range| range.bar.number() == index) {
                let fits = range.mapping.is_writable()
                    // Else the monitor could make it shorter under us.
                    && hcs_memory::stays(&range.file)
                    && !kept.contains(&hcs_memory::identity(&range.file))
                    && range.file_offset >= range.offset
                    && range.offset + range.length <= region.length;
                let distance = range.file_offset.wrapping_sub(range.offset);
                let belongs = match &files[index] {
                    None => true,
                    Some(file) => distance == region.file_offset && is_same(file, &range.file),
                };
                if !fits || !belongs {
                    continue;
                }
                if files[index].is_none() {
                    let Ok(file) = range.file.try_clone() else { continue };
                    files[index] = Some(file);
                    region.file_offset = distance;
                }
                range.is_given = true;
                region.areas.push(Area { offset: range.offset, length: range.length });
            }
            region.areas.sort_by_key(|area| area.offset);
            region
        });
        (regions, files)
    }

    fn find(&self, bar: Bar, offset: u64, length: usize) -> Option<(&Range, u64)> {
        let end = offset.checked_add(length as u64)?;
        let holds =
            |range: &&Range| range.bar == bar && range.offset <= offset && end <= range.offset + range.length;
        let range = self.0.iter().find(holds)?;
        Some((range, offset - range.offset))
    }

    /// Reads what lies in a range; whether it does.
    pub fn read(&self, bar: Bar, offset: u64, data: &mut [u8]) -> bool {
        self.find(bar, offset, data.len()).is_some_and(|(range, at)| range.mapping.read(at, data))
    }

    /// Writes what lies in a range that may be written; whether it does.
    pub fn write(&self, bar: Bar, offset: u64, data: &[u8]) -> bool {
        self.find(bar, offset, data.len()).is_some_and(|(range, at)| range.mapping.write(at, data))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::MemfdFlags;

    use super::*;

    fn file() -> OwnedFd {
        let file = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&file, 16 * PAGE).unwrap();
        file
    }

    #[test]
    fn what_fits_is_given_to_the_monitor_and_the_rest_is_served_here() {
        let (file, other) = (file(), file());
        let bar = Bar::new(2).unwrap();
        let at = |offset_pages, file_offset_pages| Section {
            bar,
            offset_pages,
            pages: 1,
            writable: true,
            file: file.as_fd(),
            file_offset_pages,
        };
        let mut sections = Sections::default();
        sections.add(at(4, 6), None).unwrap();
        sections.add(at(1, 3), None).unwrap();
        sections.add(at(2, 9), None).unwrap();
        let only_read = self::file();
        sections.add(Section { writable: false, file: only_read.as_fd(), ..at(5, 7) }, None).unwrap();
        sections.add(Section { file: other.as_fd(), ..at(6, 8) }, None).unwrap();
        assert_eq!(sections.add(at(4, 0), None).unwrap_err().cause, Cause::InvalidArgument);
        assert_eq!(
            sections.add(Section { pages: 0, ..at(9, 0) }, None).unwrap_err().cause,
            Cause::InvalidArgument
        );
        assert_eq!(sections.add(at(8, 0), Some(8 * PAGE)).unwrap_err().cause, Cause::InvalidArgument);
        assert!(sections.add(at(8, 16), None).is_err());
        let mut lengths = [0; 6];
        lengths[2] = 8 * PAGE;
        let (regions, files) = sections.give(lengths);
        assert_eq!(regions[2].file_offset, 2 * PAGE);
        let areas = [Area { offset: PAGE, length: PAGE }, Area { offset: 4 * PAGE, length: PAGE }];
        assert_eq!(regions[2].areas, areas);
        assert!(files[2].is_some() && files[1].is_none());
        assert!(rustix::fs::ftruncate(&file, 0).is_err());
        assert_eq!(sections.remove(bar, 4).unwrap_err().cause, Cause::NotSupported);
        assert_eq!(sections.remove(bar, 3).unwrap_err().cause, Cause::NotFound);

        assert!(sections.write(bar, 2 * PAGE + 4, &[1, 2, 3, 4]));
        let mut data = [0; 4];
        rustix::io::pread(&file, &mut data, 9 * PAGE + 4).unwrap();
        assert_eq!(data, [1, 2, 3, 4]);
        assert!(sections.read(bar, 5 * PAGE, &mut data));
        assert!(!sections.write(bar, 5 * PAGE, &data));
        assert!(!sections.read(bar, 3 * PAGE - 2, &mut data));
        sections.remove(bar, 2).unwrap();
        assert!(!sections.read(bar, 2 * PAGE, &mut data));
        // A part that is only to be read keeps the whole file from the monitor; and so does one that could be made shorter.
        sections.add(Section { writable: false, ..at(0, 0) }, None).unwrap();
        let unsealed = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&unsealed, 16 * PAGE).unwrap();
        let other = Bar::new(3).unwrap();
        sections.add(Section { bar: other, file: unsealed.as_fd(), ..at(0, 0) }, None).unwrap();
        lengths[3] = 8 * PAGE;
        let (regions, files) = sections.give(lengths);
        assert!(regions[2].areas.iter().all(|area| area.offset == 6 * PAGE) && files[3].is_none());
        sections.clear();
        assert_eq!(sections.remove(bar, 4).unwrap_err().cause, Cause::NotFound);
    }
}

//! The memory of the guest, as its monitor has told it: blocks at addresses, most of them parts of files that are mapped here.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use hcs_vfio::request::{Map, Unmap};
use rustix::io::Errno;

use hcs_memory::{Mapping, PAGE, Part};

/// The most blocks: what a monitor has at most, and more.
const MOST: usize = 32 << 10;
/// The most that are mapped here, and how long they are together: addresses and mappings are the whole program's. Of what is beyond
/// the monitor is asked.
const MOST_HERE: usize = 256;
const MOST_BYTES: u64 = 1 << 40;

/// A block.
#[derive(Debug)]
struct Block {
    length: u64,
    /// The device may read it.
    is_readable: bool,
    /// The device may write it.
    is_writable: bool,
    /// What is here of it; without that the monitor is asked.
    here: Option<Here>,
}

#[derive(Debug)]
struct Here {
    mapping: Mapping,
    /// Blocks of one file have one descriptor.
    file: Arc<OwnedFd>,
    offset: u64,
}

/// The memory.
#[derive(Debug, Default)]
pub struct Guest {
    blocks: BTreeMap<u64, Block>,
    /// How many are mapped here, and how long they are.
    here: usize,
    bytes: u64,
}

/// How far an access has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Come {
    /// So many bytes are copied, which is all.
    All,
    /// So many bytes are copied; then come so many that the monitor is to be asked for.
    Asks(usize, usize),
    /// There is no memory behind so many bytes, or it is not to be accessed so.
    Ends(usize),
}

/// What is wrong with a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWindow {
    /// There is no memory.
    NoMemory,
    /// It is not to be written.
    ReadOnly,
    /// Only the monitor can access it.
    NotHere,
    /// The kernel has refused.
    Failed(Errno),
}

impl Guest {
    /// There is memory. Whether its file does not get shorter is vouched for by whoever trusts the monitor, or by a seal.
    pub fn map(&mut self, memory: Map, is_trusted: bool) -> Result<(), Errno> {
        if self.blocks.len() >= MOST {
            return Err(Errno::NOSPC);
        }
        let end = memory.address + memory.length;
        let before = self.blocks.range(..end).next_back();
        if before.is_some_and(|(address, block)| address + block.length > memory.address) {
            return Err(Errno::EXIST);
        }
        let is_writable = memory.writable;
        let is_wanted = (memory.readable || is_writable)
            && self.here < MOST_HERE
            && memory.length <= MOST_BYTES - self.bytes;
        let here = memory.file.filter(|_| is_wanted).and_then(|(file, offset)| {
            let length = usize::try_from(memory.length).ok()?;
            let is_here = (is_trusted || hcs_memory::stays(&file)) && offset.is_multiple_of(PAGE);
            let mapping = is_here.then(|| Mapping::of(&file, offset, length, is_writable).ok()).flatten()?;
            Some(Here { mapping, file: self.one_of(file), offset })
        });
        if here.is_some() {
            self.here += 1;
            self.bytes += memory.length;
        }
        let block = Block { length: memory.length, is_readable: memory.readable, is_writable, here };
        self.blocks.insert(memory.address, block);
        Ok(())
    }

    /// The descriptor that other blocks of the same file have, if there are some and it may do as much.
    fn one_of(&self, file: OwnedFd) -> Arc<OwnedFd> {
        let mut others = self.blocks.values().filter_map(|block| block.here.as_ref()).map(|here| &here.file);
        others.find(|other| hcs_memory::is_same(other, &file)).cloned().unwrap_or_else(|| Arc::new(file))
    }

    /// There is it no more.
    pub fn unmap(&mut self, memory: &Unmap) -> Result<(), Errno> {
        if memory.is_all {
            self.clear();
            return Ok(());
        }
        let end = memory.address.checked_add(memory.length).ok_or(Errno::INVAL)?;
        let before = self.blocks.range(..memory.address).next_back();
        if before.is_some_and(|(address, block)| address + block.length > memory.address) {
            return Err(Errno::INVAL);
        }
        let touched: Vec<(u64, u64)> = self
            .blocks
            .range(memory.address..end)
            .map(|(address, block)| (*address, address + block.length))
            .collect();
        match touched.last() {
            None => return Err(Errno::NOENT),
            Some((_, last)) if *last > end => return Err(Errno::INVAL),
            Some(_) => {}
        }
        for (address, _) in touched {
            if let Some(Block { length, here: Some(_), .. }) = self.blocks.remove(&address) {
                self.here -= 1;
                self.bytes -= length;
            }
        }
        Ok(())
    }

    /// Copies from the guest what is here.
    pub fn read(&self, address: u64, data: &mut [u8]) -> Come {
        self.walk(
            address,
            data.len(),
            |block| block.is_readable,
            |here, offset, at, length| here.mapping.read(offset, &mut data[at..at + length]),
        )
    }

    /// Copies to the guest where that is here.
    pub fn write(&self, address: u64, data: &[u8]) -> Come {
        self.walk(
            address,
            data.len(),
            |block| block.is_writable,
            |here, offset, at, length| here.mapping.write(offset, &data[at..at + length]),
        )
    }

    /// The block that an address is in, and how far in it.
    fn find(&self, address: u64) -> Option<(&Block, u64)> {
        let (begins, block) = self.blocks.range(..=address).next_back()?;
        let offset = address - begins;
        (offset < block.length).then_some((block, offset))
    }

    fn walk(
        &self,
        address: u64,
        length: usize,
        is_allowed: impl Fn(&Block) -> bool,
        mut copy: impl FnMut(&Here, u64, usize, usize) -> bool,
    ) -> Come {
        let mut at = 0;
        while at < length {
            let found = address.checked_add(at as u64).and_then(|address| self.find(address));
            let Some((block, offset)) = found.filter(|(block, _)| is_allowed(block)) else {
                return Come::Ends(at);
            };
            let piece = (length - at).min(usize::try_from(block.length - offset).unwrap_or(usize::MAX));
            match &block.here {
                Some(here) if copy(here, offset, at, piece) => at += piece,
                Some(_) => return Come::Ends(at),
                None => return Come::Asks(at, piece),
            }
        }
        Come::All
    }

    /// A mapping of its own of a range of pages.
    pub fn window(&self, address: u64, length: u32, is_writable: bool) -> Result<Mapping, NoWindow> {
        let mut parts = Vec::new();
        let (mut at, length) = (0, u64::from(length));
        while at < length {
            let found = address.checked_add(at).and_then(|address| self.find(address));
            let (block, offset) = found.ok_or(NoWindow::NoMemory)?;
            if is_writable && !block.is_writable {
                return Err(NoWindow::ReadOnly);
            }
            let here = block.here.as_ref().filter(|_| parts.len() < MOST_HERE).ok_or(NoWindow::NotHere)?;
            let piece = (length - at).min(block.length - offset);
            parts.push(Part {
                file: here.file.as_fd(),
                offset: here.offset + offset,
                length: piece as usize,
            });
            at += piece;
        }
        Mapping::reserve(length as usize, &parts, is_writable).map_err(NoWindow::Failed)
    }

    /// Nothing is there any more.
    pub fn clear(&mut self) {
        *self = Guest::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustix::fs::{MemfdFlags, SealFlags};

    use super::*;

    fn sealed(pages: u64) -> OwnedFd {
        sealed_by_name("test", pages)
    }

    fn sealed_by_name(name: &str, pages: u64) -> OwnedFd {
        let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&file, pages * PAGE).unwrap();
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK).unwrap();
        file
    }

    fn block(address: u64, pages: u64, file: Option<OwnedFd>) -> Map {
        Map {
            address,
            length: pages * PAGE,
            readable: true,
            writable: true,
            file: file.map(|file| (file, 0)),
        }
    }

    #[test]
    fn an_access_goes_through_blocks_and_says_how_far_it_came() {
        let mut guest = Guest::default();
        guest.map(block(0, 1, Some(sealed(1))), false).unwrap();
        guest.map(block(PAGE, 1, Some(sealed(1))), false).unwrap();
        guest.map(block(2 * PAGE, 1, None), false).unwrap();
        assert_eq!(guest.map(block(0, 3, None), false), Err(Errno::EXIST));
        assert_eq!(guest.write(PAGE - 2, b"abcd"), Come::All);
        let mut data = [0; 4];
        assert_eq!(guest.read(PAGE - 2, &mut data), Come::All);
        assert_eq!(&data, b"abcd");
        assert_eq!(guest.read(2 * PAGE - 3, &mut data), Come::Asks(3, 1));
        assert_eq!(guest.read(3 * PAGE - 3, &mut data), Come::Asks(0, 3));
        assert_eq!(guest.read(3 * PAGE, &mut data), Come::Ends(0));
        assert_eq!(guest.read(u64::MAX - 1, &mut data), Come::Ends(0));
        assert_eq!(guest.window(0, 3 * PAGE as u32, true).unwrap_err(), NoWindow::NotHere);
        let window = guest.window(0, 2 * PAGE as u32, true).unwrap();
        assert!(window.read(PAGE - 2, &mut data));
        assert_eq!(&data, b"abcd");
        assert_eq!(guest.unmap(&Unmap { address: 0, length: 2 * PAGE, is_all: false }), Ok(()));
        assert_eq!(guest.read(0, &mut data), Come::Ends(0));
        assert_eq!(guest.unmap(&Unmap { address: 0, length: 2 * PAGE, is_all: false }), Err(Errno::NOENT));
        assert_eq!(guest.unmap(&Unmap { address: 0, length: 0, is_all: true }), Ok(()));
        assert_eq!(guest.read(2 * PAGE, &mut data), Come::Ends(0));
    }

    #[test]
    fn a_monitor_cannot_have_everything_mapped_and_no_part_of_a_block_goes() {
        let mut guest = Guest::default();
        let file = sealed_by_name("one of many", 1);
        // What others open meanwhile does not count.
        let open = || {
            let all = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
            let names = all.filter_map(|one| std::fs::read_link(one.path()).ok());
            names.filter(|name| name.to_string_lossy().starts_with("/memfd:one of many")).count()
        };
        for number in 0..2 * MOST_HERE as u64 {
            guest.map(block(number * PAGE, 1, Some(file.try_clone().unwrap())), false).unwrap();
        }
        assert!(guest.here == MOST_HERE && open() == 2, "{} {}", guest.here, open());
        assert_eq!(guest.read(0, &mut [0]), Come::All);
        assert_eq!(guest.read(MOST_HERE as u64 * PAGE, &mut [0]), Come::Asks(0, 1));
        guest.unmap(&Unmap { address: 0, length: PAGE, is_all: false }).unwrap();
        assert_eq!(guest.here, MOST_HERE - 1);
        guest.map(block(1 << 40, 4, None), false).unwrap();
        for (address, pages) in [((1 << 40) + PAGE, 1), (1 << 40, 3), ((1 << 40) + PAGE, 8)] {
            let part = Unmap { address, length: pages * PAGE, is_all: false };
            assert_eq!(guest.unmap(&part), Err(Errno::INVAL));
        }
    }

    #[test]
    fn files_that_may_shrink_are_left_to_the_monitor() {
        let unsealed = || {
            let file = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
            rustix::fs::ftruncate(&file, PAGE).unwrap();
            file
        };
        let mut guest = Guest::default();
        guest.map(block(0, 1, Some(unsealed())), false).unwrap();
        assert_eq!(guest.read(0, &mut [0; 4]), Come::Asks(0, 4));
        guest.map(block(PAGE, 1, Some(unsealed())), true).unwrap();
        assert_eq!(guest.read(PAGE, &mut [0; 4]), Come::All);
        // Longer than its file: it would fault.
        guest.map(block(2 * PAGE, 2, Some(sealed(1))), false).unwrap();
        assert_eq!(guest.read(2 * PAGE, &mut [0; 4]), Come::Asks(0, 4));
        let read_only = Map { writable: false, ..block(8 * PAGE, 1, Some(sealed(1))) };
        guest.map(read_only, false).unwrap();
        assert_eq!(guest.write(8 * PAGE, &[0]), Come::Ends(0));
        assert_eq!(guest.window(8 * PAGE, PAGE as u32, true).unwrap_err(), NoWindow::ReadOnly);
        assert!(guest.window(8 * PAGE, PAGE as u32, false).is_ok());
    }

    proptest! {
        #[test]
        fn no_order_of_maps_and_accesses_panics(
            steps in prop::collection::vec((0u8..4, any::<u64>(), any::<u64>(), 0usize..64), 1..60)
        ) {
            let mut guest = Guest::default();
            for (kind, address, length, size) in steps {
                let (address, length) = (address >> (size % 60), (length >> (size % 60)).max(1));
                if address.checked_add(length).is_none() {
                    continue;
                }
                match kind {
                    0 => drop(guest.map(Map { address, length, readable: true, writable: true, file: None }, false)),
                    1 => drop(guest.unmap(&Unmap { address, length, is_all: false })),
                    2 => drop(guest.read(address, &mut vec![0; size])),
                    _ => drop(guest.window(address, size as u32, true)),
                }
            }
        }
    }
}

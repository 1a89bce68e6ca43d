//! Memory that others write too, of guests above all. It is touched through raw pointers only, never through references.
//!
//! Who is a device of a machine works with it: applications that supply one (`hdv`), and what carries the sockets.
#![expect(unsafe_code, reason = "maps memory that a guest shares, and copies from and to it")]

use std::{
    os::fd::{AsFd, BorrowedFd},
    ptr::{self, NonNull},
};

use rustix::{
    fs::SealFlags,
    io::Errno,
    mm::{MapFlags, ProtFlags},
};

/// The unit of mappings.
pub const PAGE: u64 = 4096;

/// The file system of huge pages: the kernel maps those whole, over whatever lies behind a smaller reservation.
const HUGETLBFS: u64 = 0x9584_58f6;

/// A part of a file, mapped.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    length: usize,
    is_writable: bool,
}

// SAFETY: it owns its addresses, which are good on every thread, and hands out no reference to what is there.
unsafe impl Send for Mapping {}
// SAFETY: as above; reads and writes at the same time are what such memory is for, and are made through raw pointers. That two
// threads of one program do not copy to and from the same bytes at once is up to that program, as with any device's memory.
unsafe impl Sync for Mapping {}

/// Whether a file will stay as long as it is now, so that touching a mapping of it never faults.
pub fn stays(file: impl AsFd) -> bool {
    rustix::fs::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK))
}

/// By what one file is told from another.
pub fn identity(file: impl AsFd) -> Option<(u64, u64)> {
    rustix::fs::fstat(file).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

/// Whether they are one file.
pub fn is_same(one: impl AsFd, other: impl AsFd) -> bool {
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

impl Mapping {
    /// Maps a part of a file that is long enough.
    pub fn of(file: impl AsFd, offset: u64, length: usize, is_writable: bool) -> Result<Mapping, Errno> {
        Mapping::reserve(length, &[Part { file: file.as_fd(), offset, length }], is_writable)
    }

    /// Maps parts of files behind one another; together they have this length.
    pub fn reserve(length: usize, parts: &[Part<'_>], is_writable: bool) -> Result<Mapping, Errno> {
        let together = parts.iter().try_fold(0_usize, |sum, part| sum.checked_add(part.length));
        if length == 0 || together != Some(length) {
            return Err(Errno::INVAL);
        }
        for part in parts {
            if rustix::fs::fstatfs(part.file)?.f_type as u64 == HUGETLBFS {
                return Err(Errno::OPNOTSUPP);
            }
            let size = u64::try_from(rustix::fs::fstat(part.file)?.st_size).unwrap_or(0);
            if part.offset.checked_add(part.length as u64).is_none_or(|end| end > size) {
                return Err(Errno::OVERFLOW);
            }
        }
        // SAFETY: no address is asked for, so nothing that exists is replaced.
        let base = unsafe {
            rustix::mm::mmap_anonymous(ptr::null_mut(), length, ProtFlags::empty(), MapFlags::PRIVATE)
        }?;
        let base = NonNull::new(base.cast::<u8>()).ok_or(Errno::NOMEM)?;
        // From here on it is unmapped when something fails.
        let mapping = Mapping { base, length, is_writable };
        let protection = if is_writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        let mut at = 0;
        for part in parts {
            // SAFETY: the sum of the parts is the length that was reserved above, so this replaces what is ours alone.
            unsafe {
                let place = base.as_ptr().add(at).cast();
                let flags = MapFlags::SHARED | MapFlags::FIXED;
                rustix::mm::mmap(place, part.length, protection, flags, part.file, part.offset)?;
            }
            at += part.length;
        }
        Ok(mapping)
    }

    /// Maps the beginning of a file, which may be of huge pages: nothing was reserved that the kernel could reach beyond.
    pub fn beginning(file: impl AsFd, length: usize) -> Result<Mapping, Errno> {
        let size = u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
        if length as u64 > size {
            return Err(Errno::OVERFLOW);
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: no address is asked for, so nothing that exists is replaced.
        let base =
            unsafe { rustix::mm::mmap(ptr::null_mut(), length, protection, MapFlags::SHARED, file, 0) }?;
        let base = NonNull::new(base.cast::<u8>()).ok_or(Errno::NOMEM)?;
        Ok(Mapping { base, length, is_writable: true })
    }

    /// Where it begins.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Whether it may be written.
    pub fn is_writable(&self) -> bool {
        self.is_writable
    }

    fn holds(&self, offset: u64, length: usize) -> bool {
        offset.checked_add(length as u64).is_some_and(|end| end <= self.length as u64)
    }

    /// Reads from there on. What is not within reads as nothing: false.
    pub fn read(&self, offset: u64, data: &mut [u8]) -> bool {
        if !self.holds(offset, data.len()) {
            return false;
        }
        // SAFETY: the range was just checked, and the file was as long when it was mapped. Where it is not sealed, and whoever
        // has it makes it shorter, the process dies of a signal, and reads nothing else. `data` is ours alone.
        unsafe { copy(self.base.as_ptr().add(offset as usize), data.as_mut_ptr(), data.len()) };
        true
    }

    /// Writes from there on.
    pub fn write(&self, offset: u64, data: &[u8]) -> bool {
        if !self.is_writable || !self.holds(offset, data.len()) {
            return false;
        }
        // SAFETY: as above; and it is mapped for writing.
        unsafe { copy(data.as_ptr(), self.base.as_ptr().add(offset as usize), data.len()) };
        true
    }
}

/// A part of a file.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The file.
    pub file: BorrowedFd<'a>,
    /// Where it begins there.
    pub offset: u64,
    /// How long it is.
    pub length: usize,
}

/// Copies; what is as long as a register, and lies as one, in one access, so that a guest sees it whole.
///
/// # Safety
///
/// Both are so long, one is the caller's alone, and the other is mapped.
unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
    macro_rules! at_once {
        ($type:ty) => {
            if from.cast::<$type>().is_aligned() && to.cast::<$type>().is_aligned() {
                // SAFETY: aligned as just checked, and within what the caller vouches for.
                return unsafe { to.cast::<$type>().write_volatile(from.cast::<$type>().read_volatile()) };
            } else {
                // SAFETY: within what the caller vouches for. The private side is the one that may lie anywhere, so the shared
                // one is still touched once where it lies well.
                unsafe {
                    let value = if from.cast::<$type>().is_aligned() {
                        from.cast::<$type>().read_volatile()
                    } else {
                        from.cast::<$type>().read_unaligned()
                    };
                    if to.cast::<$type>().is_aligned() {
                        to.cast::<$type>().write_volatile(value);
                    } else {
                        to.cast::<$type>().write_unaligned(value);
                    }
                }
            }
        };
    }
    match length {
        1 => at_once!(u8),
        2 => at_once!(u16),
        4 => at_once!(u32),
        8 => at_once!(u64),
        // SAFETY: the caller vouches for both, and they are not the same memory: one is private. What the guest writes at the
        // same time may come torn, which is between it and its driver.
        _ => unsafe { ptr::copy_nonoverlapping(from, to, length) },
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it is ours, and whoever had a pointer into it was told that it goes.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use rustix::fs::MemfdFlags;

    use super::*;

    fn file(pages: u64) -> OwnedFd {
        let file = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&file, pages * PAGE).unwrap();
        file
    }

    #[test]
    fn parts_lie_behind_one_another_and_nothing_is_touched_outside() {
        let (first, second) = (file(2), file(1));
        rustix::io::pwrite(&first, b"abcdefgh", 2 * PAGE - 8).unwrap();
        rustix::io::pwrite(&second, b"ijklmnop", 0).unwrap();
        let parts = [
            Part { file: first.as_fd(), offset: PAGE, length: PAGE as usize },
            Part { file: second.as_fd(), offset: 0, length: PAGE as usize },
        ];
        let mapping = Mapping::reserve(2 * PAGE as usize, &parts, true).unwrap();
        for length in 0..16 {
            let mut data = vec![0; length];
            assert!(mapping.read(PAGE - 8, &mut data));
            assert_eq!(data, b"abcdefghijklmnop"[..length]);
        }
        assert!(mapping.write(PAGE - 3, b"XYZ12"));
        let mut data = [0; 2];
        rustix::io::pread(&second, &mut data, 0).unwrap();
        assert_eq!(&data, b"12");
        assert!(!mapping.read(2 * PAGE - 1, &mut [0; 2]));
        assert!(!mapping.write(u64::MAX, &[0; 2]));
    }

    #[test]
    fn what_is_too_short_or_for_reading_only_is_left_alone() {
        let file = file(1);
        assert_eq!(Mapping::of(&file, 0, 2 * PAGE as usize, true).unwrap_err(), Errno::OVERFLOW);
        assert!(!Mapping::of(&file, 0, PAGE as usize, false).unwrap().write(0, &[1]));
        assert!(!stays(&file));
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK).unwrap();
        assert!(stays(&file));
    }
}

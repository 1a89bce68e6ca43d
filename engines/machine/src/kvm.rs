//! Whether virtual processors can be the host's own. That `/dev/kvm` is there says little: on hosts that are virtual
//! themselves it may be able to run special guests only. So one is made, and has to execute something.
#![expect(unsafe_code, reason = "ioctl and shared memory have no safe form")]

use std::{
    fs::{File, OpenOptions},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use rustix::mm::{MapFlags, ProtFlags};

/// Tries it. It takes about a millisecond.
pub fn is_usable() -> bool {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok_and(|kvm| run_something(&kvm).unwrap_or(false))
}

const GET_API_VERSION: libc::c_ulong = 0xAE00;
const CREATE_VM: libc::c_ulong = 0xAE01;
const GET_VCPU_MMAP_SIZE: libc::c_ulong = 0xAE04;
const CREATE_VCPU: libc::c_ulong = 0xAE41;
const RUN: libc::c_ulong = 0xAE80;
const SET_USER_MEMORY_REGION: libc::c_ulong = 0x4020_AE46;
const SET_REGS: libc::c_ulong = 0x4090_AE82;
const GET_SREGS: libc::c_ulong = 0x8138_AE83;
const SET_SREGS: libc::c_ulong = 0x4138_AE84;

/// `struct kvm_userspace_memory_region`.
#[repr(C)]
struct Region {
    slot: u32,
    flags: u32,
    guest: u64,
    size: u64,
    host: u64,
}

const PAGE: usize = 4096;

/// Puts a few instructions before a processor in the mode of 64 bits and looks whether it comes to their end. One of them
/// is such as no emulator knows: hosts that cannot run a kernel emulate its first steps, until they meet one.
#[cfg(target_arch = "x86_64")]
fn run_something(kvm: &File) -> Option<bool> {
    /// Words of `struct kvm_sregs`: eight segments of three, two tables of two, and then what follows.
    const SREGS: usize = 39;
    const SEGMENT: usize = 3;
    const CR0: usize = 28;
    const CR3: usize = 30;
    const CR4: usize = 31;
    const EFER: usize = 33;
    const EXIT_HLT: u32 = 5;
    const CODE: usize = PAGE;
    const RESULT: usize = 0x100;
    /// Three of pages.
    const TABLES: usize = 2 * PAGE;
    /// mov rax, cr3; mov cr3, rax; mulps xmm0, xmm0; mov dword [0x100], 7; hlt
    const PROGRAM: &[u8] = &[
        0x0F, 0x20, 0xD8, 0x0F, 0x22, 0xD8, 0x0F, 0x59, 0xC0, 0xC7, 0x04, 0x25, 0, 1, 0, 0, 7, 0, 0, 0, 0xF4,
    ];
    if call(kvm.as_raw_fd(), GET_API_VERSION, 0)? != 12 {
        return Some(false);
    }
    let machine = owned(call(kvm.as_raw_fd(), CREATE_VM, 0)?);
    let memory = Mapping::of_memory(5 * PAGE)?;
    memory.write(CODE, PROGRAM);
    // Each table's first entry leads to the next; the last is a page of two MiB that shows memory where it is.
    let entries = [TABLES + PAGE + 3, TABLES + 2 * PAGE + 3, 0x83];
    for (index, entry) in entries.into_iter().enumerate() {
        memory.write(TABLES + index * PAGE, &(entry as u64).to_le_bytes());
    }
    let region = Region { slot: 0, flags: 0, guest: 0, size: 5 * PAGE as u64, host: memory.at as u64 };
    call(machine.as_raw_fd(), SET_USER_MEMORY_REGION, &raw const region as usize)?;
    let processor = owned(call(machine.as_raw_fd(), CREATE_VCPU, 0)?);
    let length = call(kvm.as_raw_fd(), GET_VCPU_MMAP_SIZE, 0)? as usize;
    let state = Mapping::of_file(&processor, length)?;
    let mut special = [0u64; SREGS];
    call(processor.as_raw_fd(), GET_SREGS, &raw mut special as usize)?;
    for segment in 0..6 {
        let (kind, selector, is_64, is_32) = if segment == 0 { (11, 8, 1, 0) } else { (3, 16, 0, 1) };
        // Base; limit, selector, type, present; level, size, not of the system, 64 bits, in pages.
        special[segment * SEGMENT] = 0;
        special[segment * SEGMENT + 1] = 0xFFFF_FFFF | selector << 32 | kind << 48 | 1 << 56;
        special[segment * SEGMENT + 2] = is_32 << 8 | 1 << 16 | is_64 << 24 | 1 << 32;
    }
    (special[CR0], special[CR3], special[CR4], special[EFER]) = (0x8000_0033, TABLES as u64, 0x220, 0x500);
    call(processor.as_raw_fd(), SET_SREGS, &raw const special as usize)?;
    // All of them zero but the place in the code, and the flags.
    let mut registers = [0u64; 18];
    (registers[16], registers[17]) = (CODE as u64, 2);
    call(processor.as_raw_fd(), SET_REGS, &raw const registers as usize)?;
    call(processor.as_raw_fd(), RUN, 0)?;
    Some(state.read_u32(8) == EXIT_HLT && memory.read_u32(RESULT) == 7)
}

#[cfg(not(target_arch = "x86_64"))]
fn run_something(kvm: &File) -> Option<bool> {
    Some(call(kvm.as_raw_fd(), GET_API_VERSION, 0)? == 12)
}

fn call(fd: RawFd, request: libc::c_ulong, argument: usize) -> Option<i32> {
    // SAFETY: each request of this file takes an integer, or a pointer to a struct of the layout and size that is in its
    // number, which outlives the call.
    let result = unsafe { libc::ioctl(fd, request, argument) };
    (result >= 0).then_some(result)
}

fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Memory that a processor of the machine, or the kernel, writes to as well.
struct Mapping {
    at: *mut u8,
    length: usize,
}

impl Mapping {
    fn of_memory(length: usize) -> Option<Mapping> {
        // SAFETY: a new mapping wherever the kernel likes touches no memory that is there.
        let at = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
            )
        };
        Some(Mapping { at: at.ok()?.cast(), length })
    }

    fn of_file(file: &OwnedFd, length: usize) -> Option<Mapping> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: as above.
        let at = unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, access, MapFlags::SHARED, file, 0) };
        Some(Mapping { at: at.ok()?.cast(), length })
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.length);
        // SAFETY: within the mapping, and no processor runs yet.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at.add(offset), bytes.len()) };
    }

    fn read_u32(&self, offset: usize) -> u32 {
        assert!(offset + 4 <= self.length && offset.is_multiple_of(4));
        // SAFETY: within the mapping, aligned, and whatever is there is a number.
        unsafe { self.at.add(offset).cast::<u32>().read_volatile() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing refers to it any more: the machine's descriptors are closed before.
        let _ = unsafe { rustix::mm::munmap(self.at.cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    /// What is right depends on the host; that it is found out, the same each time, does not.
    #[test]
    fn the_probe_comes_to_an_end() {
        let usable = super::is_usable();
        println!("kvm: {usable}");
        assert!((0..20).all(|_| super::is_usable() == usable));
    }
}

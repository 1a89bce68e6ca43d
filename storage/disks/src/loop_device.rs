//! Loop devices: files as disks of the host.
#![expect(unsafe_code, reason = "ioctl has no safe form")]

use std::{
    fs::{File, OpenOptions},
    os::fd::AsRawFd,
    path::PathBuf,
};

use hcs_core::Error;
use rustix::{
    io::Errno,
    ioctl::{self, Opcode, Setter},
};

use crate::{failure, gpt::Partition, view::View};

/// A device over a part of a file. The kernel removes it when nothing uses it any more.
#[derive(Debug)]
pub struct LoopDevice {
    /// Its node.
    pub path: PathBuf,
    /// Keeps it as long as it is not mounted.
    _device: File,
}

const CONTROL: &str = "/dev/loop-control";
const GET_FREE: Opcode = 0x4C82;
const CONFIGURE: Opcode = 0x4C0A;

const AUTOCLEAR: u32 = 4;
const DIRECT_IO: u32 = 16;
const READ_ONLY: u32 = 1;

/// `struct loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// Asks for the number of a free device.
struct GetFree;

// SAFETY: LOOP_CTL_GET_FREE takes no argument, touches no memory of ours, and returns a number.
unsafe impl ioctl::Ioctl for GetFree {
    type Output = i32;
    const IS_MUTATING: bool = false;
    fn opcode(&self) -> Opcode {
        GET_FREE
    }
    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }
    unsafe fn output_from_ptr(
        output: ioctl::IoctlOutput,
        _: *mut std::ffi::c_void,
    ) -> rustix::io::Result<i32> {
        Ok(output)
    }
}

/// Makes one over a part of a disk.
pub fn attach(disk: &View, part: Partition) -> Result<LoopDevice, Error> {
    let read_only = disk.read_only;
    let control = OpenOptions::new().read(true).write(true).open(CONTROL).map_err(|error| {
        Error::from_io(&error, format!("opening {CONTROL}")).hint("Load the module loop.")
    })?;
    loop {
        // SAFETY: what `GetFree` promises.
        let number =
            unsafe { ioctl::ioctl(&control, GetFree) }.map_err(failure::on("finding a loop device"))?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = OpenOptions::new()
            .read(true)
            .write(!read_only)
            .open(&path)
            .map_err(failure::io(&path, "opening"))?;
        // Around the page cache of the file if its file system can; else the data would be cached twice. Not so what is
        // served: with Linux 6.18 and QEMU 10.0 other bytes arrive there than were written.
        let around = if disk.is_served { 0 } else { DIRECT_IO };
        let configured = match configure(&device, disk, part, around) {
            Err(Errno::INVAL) => configure(&device, disk, part, 0),
            other => other,
        };
        match configured {
            Ok(()) => return Ok(LoopDevice { path, _device: device }),
            // Somebody else was quicker.
            Err(Errno::BUSY) => {}
            Err(errno) => return Err(failure::on("making a loop device")(errno)),
        }
    }
}

fn configure(device: &File, disk: &View, part: Partition, more: u32) -> Result<(), Errno> {
    let info = Info {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: part.start,
        size_limit: part.length,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: AUTOCLEAR | more | if disk.read_only { READ_ONLY } else { 0 },
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
    let config = Config { fd: disk.file.as_raw_fd() as u32, block_size: 0, info, reserved: [0; 8] };
    // SAFETY: LOOP_CONFIGURE reads a struct of this layout and writes nothing.
    unsafe { ioctl::ioctl(device, Setter::<CONFIGURE, Config>::new(config)) }
}

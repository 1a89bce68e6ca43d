//! Makes images of disks: empty, of a size, in each format. All or nothing, at a place where nothing is.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::fd::AsRawFd,
    path::Path,
};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags},
    io::Errno,
};

use crate::{failure, image::Format, vhd, vhdx};

/// The smallest disk that is made; a file system needs some of it.
const SMALLEST: u64 = 1 << 20;

/// Makes an image at a path where nothing is. All or nothing; the bytes that are not needed yet take no room.
pub fn create(path: &Path, format: Format, size: u64) -> Result<(), Error> {
    let largest = match format {
        Format::Raw => 1 << 60,
        Format::FixedVhd | Format::DynamicVhd => vhd::LARGEST,
        Format::Vhdx => vhdx::LARGEST,
    };
    if !(SMALLEST..=largest).contains(&size) || !size.is_multiple_of(512) {
        let detail =
            format!("found a size of {size} bytes, expected a multiple of 512 from {SMALLEST} to {largest}");
        return Err(Error::new(Cause::InvalidArgument, detail));
    }
    let put = || {
        if fs::symlink_metadata(path).is_ok() {
            return Err(Errno::EXIST.into());
        }
        let whole = |file: &File| make(file, format, size).and_then(|()| file.sync_all());
        match nameless(path)? {
            Some(file) => whole(&file).and_then(|()| name(&file, path)),
            None => {
                let file = OpenOptions::new().write(true).create_new(true).open(path)?;
                whole(&file).inspect_err(|_| {
                    let _ = fs::remove_file(path);
                })
            }
        }
    };
    put().map_err(failure::io(path, "making"))
}

/// A file without a name in the folder of a path: who is killed over it leaves nothing. Not every file system has such.
fn nameless(path: &Path) -> io::Result<Option<File>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, folder, flags, Mode::from_raw_mode(0o666)) {
        Ok(file) => Ok(Some(file.into())),
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Gives such a file its name, unless somebody has taken that.
fn name(file: &File, path: &Path) -> io::Result<()> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

fn make(file: &File, format: Format, size: u64) -> io::Result<()> {
    match format {
        Format::Raw => file.set_len(size),
        Format::FixedVhd => vhd::make_fixed(file, size),
        Format::DynamicVhd => vhd::make_dynamic(file, size),
        Format::Vhdx => vhdx::make(file, size),
    }
}

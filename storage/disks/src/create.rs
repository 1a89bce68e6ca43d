//! Makes images.

use std::{
    fs::{self, File, OpenOptions},
    path::Path,
};

use hcs_core::{Cause, Error};

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
    let file =
        OpenOptions::new().write(true).create_new(true).open(path).map_err(failure::io(path, "making"))?;
    let made = make(&file, format, size).and_then(|()| file.sync_all());
    made.map_err(|error| {
        let _ = fs::remove_file(path);
        failure::io(path, "making")(error)
    })
}

fn make(file: &File, format: Format, size: u64) -> std::io::Result<()> {
    match format {
        Format::Raw => file.set_len(size),
        Format::FixedVhd => vhd::make_fixed(file, size),
        Format::DynamicVhd => vhd::make_dynamic(file, size),
        Format::Vhdx => vhdx::make(file, size),
    }
}

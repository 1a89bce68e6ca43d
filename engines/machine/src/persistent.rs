//! What a guest finds as persistent memory: a file of the host, or memory of ours into which files were copied.

use std::{fs::File, ops::Range, os::fd::AsRawFd};

use hcs_core::{Cause, Error};
use hcs_disks::image::Image;
use hcs_state::runtime::copy_memory;
use rustix::{
    fs::{FallocateFlags, OFlags},
    io::Errno,
};

use crate::{
    devices::Mapping,
    files, memory,
    plan::{Content, Host, MappedFile, PersistentDevice, mapped::PIECE},
};

/// What a guest finds as persistent memory.
#[derive(Debug)]
pub struct Persistent {
    /// The memory: the file itself, or ours with what was copied into it.
    pub file: File,
    /// Where each file is in memory of ours.
    places: Vec<Range<u64>>,
}

impl Persistent {
    pub fn try_clone(&self) -> Result<Self, Error> {
        let file =
            self.file.try_clone().map_err(|error| Error::from_io(&error, "holding persistent memory"))?;
        Ok(Self { file, places: self.places.clone() })
    }

    /// Puts a file there. One memory cannot be made of several files, so it is copied.
    pub fn map(&mut self, host: &Host, file: &MappedFile, size: u64) -> Result<(), Error> {
        let image = files::open(host, &file.path, OFlags::RDONLY, &file.blame)?;
        let length = Image::of(&image).map_err(|error| error.at(&file.blame))?.plain;
        let length = length.filter(|length| *length > 0);
        let end = length.and_then(|length| file.offset.checked_add(length)).filter(|end| *end <= size);
        let is_free = |place: &Range<u64>| {
            self.places.iter().all(|other| place.end <= other.start || other.end <= place.start)
        };
        let Some(place) = end.map(|end| file.offset..end).filter(is_free) else {
            let detail = format!(
                "found {}, expected a fixed image that has room at {} of {size} bytes",
                file.path, file.offset
            );
            return Err(Error::new(Cause::InvalidData, detail).at(&file.blame));
        };
        copy_memory(&image, &self.file, &place).map_err(|error| {
            // What is half copied is no part of the device, and what comes there next takes it for zeros.
            let _ = self.clear(&place);
            Error::from_io(&error, format!("copying {} into memory", file.path)).at(&file.blame)
        })?;
        self.places.push(place);
        Ok(())
    }

    /// Takes away the file that begins at an offset: nothing is there then.
    pub fn unmap(&mut self, offset: u64) -> Result<(), Error> {
        let Some(index) = self.places.iter().position(|place| place.start == offset) else { return Ok(()) };
        self.clear(&self.places[index]).map_err(|errno| {
            Error::from_errno(errno.raw_os_error(), "taking a file out of persistent memory")
        })?;
        self.places.remove(index);
        Ok(())
    }

    /// Makes a place zero again.
    fn clear(&self, place: &Range<u64>) -> Result<(), Errno> {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, how, place.start, place.end - place.start)
    }
}

/// Opens what a guest finds as persistent memory.
pub fn open(host: &Host, device: &PersistentDevice) -> Result<(Persistent, Mapping), Error> {
    let (persistent, length) = match &device.content {
        Content::File { path, size } => {
            let flags = if device.read_only { OFlags::RDONLY } else { OFlags::RDWR };
            let file = files::open(host, path, flags, &device.blame)?;
            let image = Image::of(&file).map_err(|error| error.at(&device.blame))?;
            let Some(length) = image.plain.filter(|length| *length > 0 && length % PIECE == 0) else {
                let detail = format!("found {path}, expected a fixed image of whole pieces of 2 MiB");
                return Err(Error::new(Cause::InvalidData, detail).at(&device.blame));
            };
            if let Some(size) = size.filter(|size| *size != length) {
                let detail = format!("found {path} of {length} bytes, expected {size} as SizeBytes says");
                return Err(Error::new(Cause::InvalidData, detail).at(&device.blame));
            }
            (Persistent { file, places: Vec::new() }, length)
        }
        Content::Files { size, files } => {
            let memory = memory::nameless("hcs-mappings", size >> 20)?;
            let mut persistent = Persistent { file: memory, places: Vec::new() };
            for one in files {
                persistent.map(host, one, *size)?;
            }
            (persistent, *size)
        }
    };
    let file = i64::from(persistent.file.as_raw_fd());
    Ok((persistent, Mapping { file, offset: 0, length, read_only: device.read_only }))
}

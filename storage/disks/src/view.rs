//! The bytes of a disk as its user sees them, as a file.

use std::{
    fs::{File, OpenOptions},
    os::fd::{AsFd, AsRawFd},
    path::PathBuf,
};

use hcs_core::{Cause, Error};
use rustix::fs::OFlags;

use crate::{failure, image::Image, mount::Place, server::Server};

/// An open disk. What serves it goes on until [`Server::end`].
pub struct View {
    /// Its bytes, and maybe more behind them.
    pub file: File,
    /// How many bytes it has.
    pub length: u64,
    /// Where other programs find the file, as long as it is open.
    pub path: PathBuf,
    /// Whether it can only be read.
    pub read_only: bool,
    /// Whether somebody serves it; else the file is the image.
    pub is_served: bool,
}

impl View {
    /// Opens the disk of an image, with as much right as the image was opened. `place` is for what serves it.
    pub fn open(image: &File, place: &Place) -> Result<View, Error> {
        let read_only = is_read_only(image)?;
        let found = Image::of(image)?;
        if let Some(length) = found.plain {
            let file = image.try_clone().map_err(|error| Error::from_io(&error, "opening the image"))?;
            let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
            return Ok(View { file, length, path, read_only, is_served: false });
        }
        let server = Server::of(&place.folder);
        server.begin(image, found.format, read_only, place.lock.as_fd())?;
        let path = server.disk;
        let opened = OpenOptions::new().read(true).write(!read_only).open(&path);
        let file = opened.map_err(failure::io(&path, "opening"))?;
        let length = file.metadata().map_err(failure::io(&path, "looking at"))?.len();
        Ok(View { file, length, path, read_only, is_served: true })
    }

    /// Fails if it cannot be written.
    pub fn expect_writable(&self) -> Result<(), Error> {
        match self.read_only {
            false => Ok(()),
            true => Err(Error::new(Cause::AccessDenied, "the image is open for reading only")
                .hint("Open it for reading and writing.")),
        }
    }
}

fn is_read_only(file: &File) -> Result<bool, Error> {
    let flags = rustix::fs::fcntl_getfl(file).map_err(failure::on("looking at the image"))?;
    match flags & OFlags::RWMODE {
        OFlags::RDONLY => Ok(true),
        OFlags::RDWR => Ok(false),
        _ => Err(Error::new(Cause::AccessDenied, "the image is not open for reading")),
    }
}

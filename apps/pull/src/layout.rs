//! The layout that is written. Names are digests, which were checked.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
};

use hcs_images::Digest;
use rustix::fs::{Mode, OFlags};

/// Makes the folders.
pub fn begin(folder: &File) -> io::Result<()> {
    for name in ["blobs", "blobs/sha256"] {
        rustix::fs::mkdirat(folder.as_fd(), name, Mode::RWXU)?;
    }
    write(folder, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
}

/// Makes the file of a blob.
pub fn create(folder: &File, name: &str) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(folder.as_fd(), name, flags, Mode::RUSR | Mode::WUSR)?))
}

/// Writes a whole file.
pub fn write(folder: &File, name: &str, bytes: &[u8]) -> io::Result<()> {
    create(folder, name)?.write_all(bytes)
}

/// Writes a document that is named by its digest.
pub fn write_blob(folder: &File, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
    match write(folder, &digest.in_layout(), bytes) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

//! Where the files of an image come from: a folder, or a tar, compressed or not.
//!
//! Names come from foreign documents. None leads out of the source, whatever links are in it.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Seek, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::Path,
};

use hcs_core::{Cause, Error};
use hcs_layers::{
    archive::{self, Form, Limits, What},
    entry,
};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags},
    io::Errno,
};

/// The files of an image by name.
pub enum Source {
    /// Those in a folder.
    Folder(OwnedFd),
    /// Those in a tar.
    Tar {
        /// It.
        file: File,
        /// Where each is.
        index: HashMap<Vec<u8>, What>,
    },
}

/// The bytes of a file of an image.
pub struct Blob<'a> {
    from: From<'a>,
    /// How many they are.
    pub size: u64,
}

enum From<'a> {
    File(File),
    Part { file: &'a File, at: u64, end: u64 },
}

impl Source {
    /// Opens a folder or a tar. One that is compressed is unpacked beside `scratch` first, in a file without a name.
    pub fn open(path: &Path, scratch: &Path, limits: Limits) -> Result<Source, Error> {
        let failed =
            |errno: Errno| Error::from_errno(errno.raw_os_error(), format!("opening {}", path.display()));
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(failed)?;
        let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&file).map_err(failed)?.st_mode);
        if kind == rustix::fs::FileType::Directory {
            return Ok(Source::Folder(file));
        }
        let file = plain(File::from(file), path, scratch, limits)?;
        let mut index = HashMap::new();
        for found in archive::index(&file, limits)? {
            // As with a tar that is unpacked: what comes later takes the place of what was before.
            if let Ok(name) = entry::plain(&found.path) {
                index.insert(name, found.what);
            }
        }
        Ok(Source::Tar { file, index })
    }

    /// A file; `None` if there is none.
    pub fn find(&self, name: &str) -> Result<Option<Blob<'_>>, Error> {
        let name = entry::plain(name.as_bytes())?;
        match self {
            Source::Folder(folder) => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
                match rustix::fs::openat2(folder.as_fd(), &name[..], flags, Mode::empty(), resolve) {
                    Ok(file) => {
                        let file = File::from(file);
                        let about = file.metadata().map_err(|error| broken(&error))?;
                        if !about.is_file() {
                            return Err(invalid(format!("{:?} of the image is no file", text(&name))));
                        }
                        Ok(Some(Blob { size: about.len(), from: From::File(file) }))
                    }
                    Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
                    Err(Errno::XDEV | Errno::LOOP) => {
                        Err(invalid(format!("{:?} of the image is a link that leads out of it", text(&name))))
                    }
                    Err(errno) => Err(Error::from_errno(
                        errno.raw_os_error(),
                        format!("opening {:?} of the image", text(&name)),
                    )),
                }
            }
            Source::Tar { file, index } => {
                let Some((start, size)) = resolve(index, &name)? else { return Ok(None) };
                Ok(Some(Blob { size, from: From::Part { file, at: start, end: start + size } }))
            }
        }
    }

    /// A file that must be there.
    pub fn open_blob(&self, name: &str) -> Result<Blob<'_>, Error> {
        self.find(name)?.ok_or_else(|| invalid(format!("the image has no {name:?}, which belongs to it")))
    }

    /// The whole of a document, which is small.
    pub fn document(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        const LARGEST: u64 = 4 << 20;
        let Some(blob) = self.find(name)? else { return Ok(None) };
        if blob.size > LARGEST {
            return Err(invalid(format!("{name:?} has {} bytes, more than any document", blob.size)));
        }
        let mut bytes = Vec::new();
        blob.take(LARGEST).read_to_end(&mut bytes).map_err(|error| broken(&error))?;
        Ok(Some(bytes))
    }
}

/// Follows the links of an archive; docker makes them where images share layers.
fn resolve(index: &HashMap<Vec<u8>, What>, name: &[u8]) -> Result<Option<(u64, u64)>, Error> {
    const MOST: usize = 8;
    let mut name = name.to_vec();
    for _ in 0..MOST {
        match index.get(&name) {
            None => return Ok(None),
            Some(What::File { start, size }) => return Ok(Some((*start, *size))),
            Some(What::HardLink(target)) => name = entry::plain(target)?,
            Some(What::Symlink(target)) => name = beside(&name, target)?,
        }
    }
    Err(invalid(format!("{:?} of the image is a link to a link and so on", text(&name))))
}

/// What a relative link in the folder of a name leads to.
fn beside(name: &[u8], target: &[u8]) -> Result<Vec<u8>, Error> {
    let out = || invalid(format!("{:?} of the image is a link that leads out of it", text(name)));
    if target.starts_with(b"/") {
        return Err(out());
    }
    let mut parts: Vec<&[u8]> =
        entry::split(name).0.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop().ok_or_else(out)?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

/// The tar itself, in which one can seek.
fn plain(mut file: File, path: &Path, scratch: &Path, limits: Limits) -> Result<File, Error> {
    let failed = |error: io::Error| Error::from_io(&error, format!("reading {}", path.display()));
    let mut beginning = Vec::new();
    (&file).take(512).read_to_end(&mut beginning).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let mut decoded: Box<dyn Read> = match archive::form(&beginning) {
        Some(Form::Plain) => return Ok(file),
        Some(form) => archive::decoder(form, file)?,
        None => return Err(invalid(format!("{} is no tar and no folder", path.display()))),
    };
    let unnamed =
        rustix::fs::openat(CWD, scratch, OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC, Mode::RUSR);
    let mut whole = File::from(
        unnamed.map_err(|errno| Error::from_errno(errno.raw_os_error(), "making a file for the archive"))?,
    );
    let copied =
        io::copy(&mut decoded.by_ref().take(limits.bytes), &mut whole).map_err(|error| broken(&error))?;
    if copied == limits.bytes {
        return Err(invalid("the archive is larger than what is allowed"));
    }
    whole.flush().and_then(|()| whole.rewind()).map_err(failed)?;
    Ok(whole)
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.from {
            From::File(file) => file.read(buffer),
            From::Part { file, at, end } => {
                let length = buffer.len().min(usize::try_from(*end - *at).unwrap_or(usize::MAX));
                let read = file.read_at(&mut buffer[..length], *at)?;
                if read == 0 && length > 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut off"));
                }
                *at += read as u64;
                Ok(read)
            }
        }
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn broken(error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(_) => Error::from_io(error, "reading the image"),
        None => invalid(format!("the image is damaged: {error}")),
    }
}

/// What came from outside is not what it must be.
pub fn invalid(detail: impl Into<String>) -> Error {
    Error::new(Cause::InvalidData, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_an_archive_are_followed_within_it() {
        let index: HashMap<Vec<u8>, What> = [
            (&b"a/layer.tar"[..], What::File { start: 512, size: 7 }),
            (b"b/layer.tar", What::Symlink(b"../a/layer.tar".to_vec())),
            (b"c/layer.tar", What::HardLink(b"b/layer.tar".to_vec())),
            (b"out", What::Symlink(b"../etc/passwd".to_vec())),
            (b"absolute", What::Symlink(b"/etc/passwd".to_vec())),
            (b"round", What::Symlink(b"round".to_vec())),
        ]
        .map(|(name, what)| (name.to_vec(), what))
        .into();
        for name in [&b"a/layer.tar"[..], b"b/layer.tar", b"c/layer.tar"] {
            assert_eq!(resolve(&index, name).unwrap(), Some((512, 7)));
        }
        assert_eq!(resolve(&index, b"gone").unwrap(), None);
        for name in [&b"out"[..], b"absolute", b"round"] {
            assert!(resolve(&index, name).is_err());
        }
    }
}

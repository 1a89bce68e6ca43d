//! A file that takes the place of another when it is whole: written beside it under another name, and renamed. Whoever had
//! access to the one has access to the other.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Gid, Mode, Uid, XattrFlags},
    io::Errno,
};

/// Where a file is written before it is whole.
pub fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// A file that is not whole yet. It goes with this, unless it is kept.
pub struct Replacement {
    path: PathBuf,
    file: File,
    is_kept: bool,
}

impl Replacement {
    /// Begins one for the file at this path, which is there.
    pub fn begin(path: &Path) -> io::Result<Replacement> {
        const ACCESS: &str = "system.posix_acl_access";
        let old = File::open(path)?;
        let about = old.metadata()?;
        let own = partial(path);
        // One that somebody has left when he died is written over.
        match std::fs::remove_file(&own) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&own)?;
        let replacement = Replacement { path: path.to_owned(), file, is_kept: false };
        let file = &replacement.file;
        rustix::fs::fchown(file, Some(Uid::from_raw(about.uid())), Some(Gid::from_raw(about.gid())))?;
        rustix::fs::fchmod(file, Mode::from_raw_mode(about.mode() & 0o777))?;
        let mut list = vec![0; 64 << 10];
        match rustix::fs::fgetxattr(&old, ACCESS, &mut list) {
            Ok(length) => rustix::fs::fsetxattr(file, ACCESS, &list[..length], XattrFlags::empty())?,
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(replacement)
    }

    /// What is to be written.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// It is whole: it takes the place of the other, and that is durable.
    pub fn keep(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(partial(&self.path), &self.path)?;
        self.is_kept = true;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_kept {
            // Who comes next writes over what cannot be removed.
            let _ = std::fs::remove_file(partial(&self.path));
        }
    }
}

//! A file that takes the place of another when it is whole: written beside it under another name, and renamed. Whoever had
//! access to the one has access to the other.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Gid, Mode, OFlags, Uid, XattrFlags},
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
    /// Whoever moves the folder meanwhile has us write nowhere else.
    folder: OwnedFd,
    name: OsString,
    file: File,
    is_kept: bool,
}

impl Replacement {
    /// Begins one for the file at this path, which is open: who may write it was asked when it was opened, so another in its place
    /// is refused.
    pub fn begin(path: &Path, old: &File) -> io::Result<Replacement> {
        const ACCESS: &str = "system.posix_acl_access";
        let folder = path.parent().unwrap_or(Path::new("/"));
        let folder = rustix::fs::open(folder, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
        let about = rustix::fs::fstat(old)?;
        let there = rustix::fs::statat(&folder, &name, AtFlags::empty())?;
        if (there.st_dev, there.st_ino) != (about.st_dev, about.st_ino) {
            return Err(io::Error::other("another file has taken its place"));
        }
        let own = partial(Path::new(&name));
        // One that somebody has left when he died is written over.
        match rustix::fs::unlinkat(&folder, &own, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&folder, &own, flags, Mode::RUSR | Mode::WUSR)?);
        let replacement = Replacement { folder, name, file, is_kept: false };
        let file = &replacement.file;
        rustix::fs::fchown(file, Some(Uid::from_raw(about.st_uid)), Some(Gid::from_raw(about.st_gid)))?;
        rustix::fs::fchmod(file, Mode::from_raw_mode(about.st_mode & 0o777))?;
        let mut list = vec![0; 64 << 10];
        match rustix::fs::fgetxattr(old, ACCESS, &mut list) {
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
        rustix::fs::renameat(&self.folder, partial(Path::new(&self.name)), &self.folder, &self.name)?;
        self.is_kept = true;
        Ok(rustix::fs::fsync(&self.folder)?)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_kept {
            // Who comes next writes over what cannot be removed.
            let _ = rustix::fs::unlinkat(&self.folder, partial(Path::new(&self.name)), AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    #[test]
    fn a_file_is_replaced_where_it_was_opened_and_another_in_its_place_is_not() {
        let folder = std::env::temp_dir().join(format!("hcs-replace-{}", std::process::id()));
        let (home, moved) = (folder.join("home"), folder.join("moved"));
        fs::create_dir_all(&home).unwrap();
        let path = home.join("file");
        fs::write(&path, "old").unwrap();
        let old = File::open(&path).unwrap();
        let replacement = Replacement::begin(&path, &old).unwrap();
        replacement.file().write_all(b"new").unwrap();
        // Somebody puts another folder there.
        fs::rename(&home, &moved).unwrap();
        fs::create_dir(&home).unwrap();
        fs::write(&path, "of somebody else").unwrap();
        replacement.keep().unwrap();
        assert_eq!(fs::read_to_string(moved.join("file")).unwrap(), "new");
        assert_eq!(fs::read_to_string(&path).unwrap(), "of somebody else");
        assert!(Replacement::begin(&path, &old).is_err(), "that is another file");
        let names = |folder: &Path| fs::read_dir(folder).unwrap().count();
        assert_eq!((names(&home), names(&moved)), (1, 1), "nothing else is left");
        fs::remove_dir_all(&folder).unwrap();
    }
}

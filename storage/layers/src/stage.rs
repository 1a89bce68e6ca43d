//! All or nothing: something is built beside its place, made durable, and put there at once.

use std::{
    fs::{self, File},
    io::Write,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags},
    io::Errno,
};

use crate::failure;

/// A folder that becomes something at [`Stage::put`], and is removed otherwise.
pub struct Stage {
    target: PathBuf,
    place: PathBuf,
    /// Locked, so that nobody takes it for what a crash has left.
    folder: OwnedFd,
    is_put: bool,
}

impl Stage {
    /// Begins to build what will be at `target`. What a crash has left of the same target is removed.
    pub fn begin(target: &Path) -> Result<Stage, Error> {
        if fs::symlink_metadata(target).is_ok() {
            let detail = format!("{} is there already", target.display());
            return Err(Error::new(Cause::AlreadyExists, detail));
        }
        let place = beside(target, "partial")?;
        let parent = target.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).map_err(failure::io(parent, "making"))?;
        if fs::symlink_metadata(&place).is_ok() {
            // Fails if somebody is at it.
            drop(lock(&place)?);
            fs::remove_dir_all(&place).map_err(failure::io(&place, "removing"))?;
        }
        fs::create_dir(&place).map_err(failure::io(&place, "making"))?;
        let folder = lock(&place).inspect_err(|_| {
            let _ = fs::remove_dir(&place);
        })?;
        Ok(Stage { target: target.to_owned(), place, folder, is_put: false })
    }

    /// Where it is built.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Makes it durable and puts it at its place.
    pub fn put(mut self) -> Result<(), Error> {
        let failed = |doing| failure::on(&self.target, doing);
        let rename = |from, to| rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE);
        rustix::fs::syncfs(&self.folder).map_err(failed("making durable what becomes"))?;
        rename(&self.place, &self.target).map_err(failed("putting in its place"))?;
        // What is not told as done is not there. If it can be taken back it is removed with this.
        let durable = sync_parent(&self.target);
        self.is_put = durable.is_ok() || rename(&self.target, &self.place).is_err();
        durable
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.is_put {
            // What resists is removed by who builds here next.
            let _ = fs::remove_dir_all(&self.place);
        }
    }
}

/// Writes a file that is there whole or not at all. Nothing may be at its place before.
pub fn write_file<T>(target: &Path, write: impl FnOnce(&File) -> Result<T, Error>) -> Result<T, Error> {
    if fs::symlink_metadata(target).is_ok() {
        return Err(Error::new(Cause::AlreadyExists, format!("{} is there already", target.display())));
    }
    put_file(target, RenameFlags::NOREPLACE, write)
}

/// Writes a file in the place of another, or of none: the old one is there or the new one, whole.
pub fn replace_file(target: &Path, content: &[u8]) -> Result<(), Error> {
    put_file(target, RenameFlags::empty(), |mut file| {
        file.write_all(content).map_err(failure::io(target, "writing"))
    })
}

fn put_file<T>(
    target: &Path,
    flags: RenameFlags,
    write: impl FnOnce(&File) -> Result<T, Error>,
) -> Result<T, Error> {
    let partial = beside(target, "partial")?;
    let is_new = flags.contains(RenameFlags::NOREPLACE);
    let put = || {
        let file = File::create(&partial).map_err(failure::io(&partial, "making"))?;
        let result = write(&file)?;
        file.sync_all().map_err(failure::io(&partial, "writing"))?;
        rustix::fs::renameat_with(CWD, &partial, CWD, target, flags)
            .map_err(failure::on(target, "putting in its place"))?;
        // What is not told as done is not there, unless it has replaced something that could not be there again.
        sync_parent(target).inspect_err(|_| {
            if is_new {
                let _ = fs::remove_file(target);
            }
        })?;
        Ok(result)
    };
    put().inspect_err(|_| {
        let _ = fs::remove_file(&partial);
    })
}

fn sync_parent(target: &Path) -> Result<(), Error> {
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|folder| folder.sync_all()).map_err(failure::io(parent, "making durable"))
}

/// A hidden place beside another, for what is not there yet or not any more.
pub(crate) fn beside(path: &Path, state: &str) -> Result<PathBuf, Error> {
    let name = path.file_name().ok_or_else(|| {
        Error::new(Cause::InvalidArgument, format!("{} is no place for a layer", path.display()))
    })?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{state}"));
    Ok(path.with_file_name(hidden))
}

/// Fails if somebody is at it.
pub(crate) fn lock(folder: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder_fd =
        rustix::fs::openat(CWD, folder, flags, Mode::empty()).map_err(failure::on(folder, "opening"))?;
    match rustix::fs::flock(folder_fd.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(folder_fd),
        Err(Errno::WOULDBLOCK) => {
            let detail = format!("somebody is building in {}", folder.display());
            Err(Error::new(Cause::InUse, detail))
        }
        Err(errno) => Err(failure::on(folder, "locking")(errno)),
    }
}

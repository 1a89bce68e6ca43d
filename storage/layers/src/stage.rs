//! All or nothing: something is built beside its place, made durable, and put there at once.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use hcs_core::{
    Cause, Error,
    lock::{self, Held},
};
use rustix::{
    fs::{CWD, Mode, OFlags, RenameFlags},
    io::Errno,
};

use crate::failure;

/// A folder that becomes something at [`Stage::put`], and is removed otherwise.
pub struct Stage {
    target: PathBuf,
    place: PathBuf,
    /// Locked, so that nobody takes it for what a crash has left.
    folder: Held<OwnedFd>,
    /// The rights that it is to have at its place. While it is built nobody else comes into it, who could change what is said
    /// of a folder in an archive into something said of another.
    mode: Mode,
    is_put: bool,
}

impl Stage {
    /// Begins to build what will be at `target`. What a crash has left of the same target is removed.
    pub fn begin(target: &Path) -> Result<Stage, Error> {
        remove_destroyed(target)?;
        if fs::symlink_metadata(target).is_ok() {
            let detail = format!("{} is there already", target.display());
            return Err(Error::new(Cause::AlreadyExists, detail));
        }
        let place = beside(target, "partial")?;
        let parent = target.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).map_err(failure::io(parent, "making"))?;
        if fs::symlink_metadata(&place).is_ok() {
            // Fails if somebody is at it.
            drop(lock_folder(&place)?);
            fs::remove_dir_all(&place).map_err(failure::io(&place, "removing"))?;
        }
        fs::create_dir(&place).map_err(failure::io(&place, "making"))?;
        let begin = || {
            let folder = lock_folder(&place)?;
            let made = rustix::fs::fstat(&*folder).map_err(failure::on(&place, "looking at"))?;
            rustix::fs::fchmod(&*folder, Mode::RWXU).map_err(failure::on(&place, "closing"))?;
            Ok((folder, Mode::from_raw_mode(made.st_mode & 0o7777)))
        };
        let (folder, mode) = begin().inspect_err(|_: &Error| {
            let _ = fs::remove_dir(&place);
        })?;
        Ok(Stage { target: target.to_owned(), place, folder, mode, is_put: false })
    }

    /// Where it is built.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Makes it durable and puts it at its place.
    pub fn put(mut self) -> Result<(), Error> {
        let failed = |doing| failure::on(&self.target, doing);
        let rename = |from, to| rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE);
        let parent = open_parent(&self.target)?;
        rustix::fs::fchmod(&*self.folder, self.mode).map_err(failed("opening to others what becomes"))?;
        rustix::fs::syncfs(&*self.folder).map_err(failed("making durable what becomes"))?;
        rename(&self.place, &self.target).map_err(failed("putting in its place"))?;
        // What is not told as done is not there. If it can be taken back it is removed with this; that may take space, and a
        // removal where it is takes none.
        let durable = sync(&parent, &self.target);
        self.is_put = durable.is_ok();
        if !self.is_put && rename(&self.target, &self.place).is_err() {
            let _ = fs::remove_dir_all(&self.target);
        }
        durable
    }

    /// Removes it, as it does not become anything.
    pub fn discard(mut self) -> Result<(), Error> {
        fs::remove_dir_all(&self.place).map_err(failure::io(&self.place, "removing"))?;
        self.is_put = true;
        Ok(())
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
    put_file(target, Before::Nothing, write)
}

/// Writes a file in the place of another, or of none: the old one is there or the new one, whole, and the old one if this fails.
pub fn replace_file(target: &Path, content: &[u8]) -> Result<(), Error> {
    put_file(target, Before::at(target)?, |mut file| {
        file.write_all(content).map_err(failure::io(target, "writing"))
    })
}

/// What is at the place of a file that is to come.
enum Before {
    Nothing,
    /// A file, locked, so that nobody takes it for what a crash has left while it is aside.
    File {
        _lock: Held<OwnedFd>,
    },
    /// Something that gives way, as a link, or does not, as a folder.
    Other,
}

impl Before {
    fn at(target: &Path) -> Result<Before, Error> {
        match fs::symlink_metadata(target) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Before::Nothing),
            Err(error) => return Err(failure::io(target, "looking at")(error)),
            Ok(there) if !there.is_file() => return Ok(Before::Other),
            Ok(_) => {}
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, target, flags, Mode::empty()) {
            Err(Errno::NOENT) => Ok(Before::Nothing),
            Err(errno) => Err(failure::on(target, "opening")(errno)),
            Ok(file) => match try_lock(file, target)? {
                Some(file) => Ok(Before::File { _lock: file }),
                None => Err(Error::new(Cause::InUse, format!("somebody is writing {}", target.display()))),
            },
        }
    }
}

fn put_file<T>(
    target: &Path,
    before: Before,
    write: impl FnOnce(&File) -> Result<T, Error>,
) -> Result<T, Error> {
    let partial = beside(target, "partial")?;
    let rename = |flags| rustix::fs::renameat_with(CWD, &partial, CWD, target, flags);
    let parent = open_parent(target)?;
    let file = begin_file(&partial)?;
    let mut is_exchanged = false;
    let put = || {
        let result = write(&file)?;
        file.sync_all().map_err(failure::io(&partial, "writing"))?;
        let done = match before {
            Before::Nothing => rename(RenameFlags::NOREPLACE),
            Before::Other => rename(RenameFlags::empty()),
            Before::File { .. } => match rename(RenameFlags::EXCHANGE) {
                // Not every file system can.
                Err(Errno::INVAL) => rename(RenameFlags::empty()),
                done => done.map(|()| is_exchanged = true),
            },
        };
        done.map_err(failure::on(target, "putting in its place"))?;
        // What is not told as done is not there, unless it has replaced something that could not be there again.
        sync(&parent, target).inspect_err(|_| match before {
            Before::Nothing => drop(fs::remove_file(target)),
            Before::File { .. } if is_exchanged => drop(rename(RenameFlags::EXCHANGE)),
            _ => {}
        })?;
        Ok(result)
    };
    let outcome = put();
    if outcome.is_err() || is_exchanged {
        let _ = fs::remove_file(&partial);
    }
    outcome
}

/// Makes a file that nobody else writes, whatever was there: one that a crash has left goes, and so does a link that somebody
/// has planted.
fn begin_file(partial: &Path) -> Result<Held<File>, Error> {
    loop {
        match File::create_new(partial) {
            Ok(file) => {
                // Otherwise somebody has taken it for what a crash has left.
                if let Some(file) = try_lock(file, partial)?
                    && lock::is_at(&*file, partial).map_err(failure::on(partial, "looking at"))?
                {
                    return Ok(file);
                }
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => remove_left(partial)?,
            Err(error) => return Err(failure::io(partial, "making")(error)),
        }
    }
}

/// Removes what is there, unless somebody is writing it.
fn remove_left(partial: &Path) -> Result<(), Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // What cannot be opened, as a link, nobody writes.
    let left = rustix::fs::openat(CWD, partial, flags, Mode::empty());
    if let Ok(left) = &left
        && try_lock(left, partial)?.is_none()
    {
        return Err(Error::new(Cause::InUse, format!("somebody is writing {}", partial.display())));
    }
    match fs::remove_file(partial) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failure::io(partial, "removing")(error)),
        _ => Ok(()),
    }
}

/// Opens the folder of a target before anything is put there: who has no descriptor left for it later could not tell
/// whether it is durable, nor always take it back.
fn open_parent(target: &Path) -> Result<File, Error> {
    let parent = parent_of(target);
    File::open(parent).map_err(failure::io(parent, "opening"))
}

fn sync(parent: &File, target: &Path) -> Result<(), Error> {
    parent.sync_all().map_err(failure::io(parent_of(target), "making durable"))
}

fn parent_of(target: &Path) -> &Path {
    target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
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
pub(crate) fn lock_folder(folder: &Path) -> Result<Held<OwnedFd>, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder_fd =
        rustix::fs::openat(CWD, folder, flags, Mode::empty()).map_err(failure::on(folder, "opening"))?;
    try_lock(folder_fd, folder)?
        .ok_or_else(|| Error::new(Cause::InUse, format!("somebody is at work in {}", folder.display())))
}

/// Ours alone, unless somebody has it.
fn try_lock<F: AsFd>(file: F, path: &Path) -> Result<Option<Held<F>>, Error> {
    Held::try_take(file).map_err(failure::on(path, "locking"))
}

/// Removes what a crash has left of the layer that was at a place, unless somebody is removing it; whether there was some.
pub(crate) fn remove_destroyed(path: &Path) -> Result<bool, Error> {
    let doomed = beside(path, "destroyed")?;
    if fs::symlink_metadata(&doomed).is_err() {
        return Ok(false);
    }
    let _lock = lock_folder(&doomed)?;
    // Links in it are removed and never followed.
    fs::remove_dir_all(&doomed).map_err(failure::io(&doomed, "removing"))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("hcs-layers-stage-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_link_that_was_planted_is_not_followed() {
        let folder = folder("link");
        fs::write(folder.join("shadow"), "secret").unwrap();
        symlink(folder.join("shadow"), folder.join(".x.partial")).unwrap();
        replace_file(&folder.join("x"), b"new").unwrap();
        assert_eq!(fs::read(folder.join("x")).unwrap(), b"new");
        assert_eq!(fs::read(folder.join("shadow")).unwrap(), b"secret");
        // What a crash has left is written over.
        fs::write(folder.join(".y.partial"), "a crash has left this").unwrap();
        replace_file(&folder.join("y"), b"y").unwrap();
        assert_eq!(fs::read(folder.join("y")).unwrap(), b"y");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_replaced_leaves_nothing_beside_it_and_a_folder_is_not_replaced() {
        let folder = folder("replaced");
        let target = folder.join("x");
        for text in ["one", "two", "three"] {
            replace_file(&target, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&target).unwrap(), text);
        }
        fs::create_dir(folder.join("y")).unwrap();
        replace_file(&folder.join("y"), b"y").unwrap_err();
        assert!(folder.join("y").is_dir());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn two_who_write_one_file_are_told_so() {
        let folder = folder("two");
        let target = folder.join("x");
        write_file(&target, |_| {
            let second = write_file(&target, |_| Ok(())).unwrap_err();
            assert_eq!(second.cause, Cause::InUse);
            Ok(())
        })
        .unwrap();
        assert!(target.exists() && !folder.join(".x.partial").exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_discarded_is_gone_and_its_place_is_free() {
        let folder = folder("discarded");
        let stage = Stage::begin(&folder.join("x")).unwrap();
        fs::write(stage.place().join("y"), "y").unwrap();
        stage.discard().unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn nobody_else_comes_into_what_is_being_built() {
        let folder = folder("closed");
        let stage = Stage::begin(&folder.join("x")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(stage.place()), 0o700);
        stage.put().unwrap();
        assert_ne!(mode(&folder.join("x")), 0o700);
        fs::remove_dir_all(folder).unwrap();
    }
}

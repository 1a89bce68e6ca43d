//! Says of written files what they are, in a thread of its own: owner, mode, attributes and time of 20,000 small files
//! take as long as their bytes.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};

use crate::{
    entry::{Entry, Time},
    unpack,
};

/// Files that may wait. Each is an open descriptor.
const WAITING: usize = 32;

/// Takes files that are written.
pub struct Dresser {
    to: SyncSender<(File, Entry)>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Dresser {
    /// Nothing yet. Fails where there cannot be another thread.
    pub fn begin() -> Result<Dresser, Error> {
        let (to, from) = sync_channel(WAITING);
        let thread = thread::Builder::new().spawn(move || dress_all(&from));
        let thread = thread.map_err(|error| Error::from_io(&error, "starting a thread"))?;
        Ok(Dresser { to, thread })
    }

    /// Takes a file; false if it takes no more, because one before has failed. [`Dresser::finish`] says why.
    pub fn take(&self, file: File, entry: &Entry) -> bool {
        self.to.send((file, entry.clone())).is_ok()
    }

    /// Waits for the last one.
    pub fn finish(self) -> Result<(), Error> {
        drop(self.to);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(Error::new(Cause::Unexpected, "writing the layer has failed")))
    }
}

fn dress_all(from: &Receiver<(File, Entry)>) -> Result<(), Error> {
    for (file, entry) in from {
        dress(file.as_fd(), &entry).map_err(|errno| unpack::failed(&entry.path, errno))?;
    }
    Ok(())
}

/// Says of a file or a folder what it is, in the order in which none undoes another.
pub fn dress(file: BorrowedFd<'_>, entry: &Entry) -> Result<(), Errno> {
    // Mostly it is who makes it; in a folder with the group's bit it is not.
    let there = rustix::fs::fstat(file)?;
    if (there.st_uid, there.st_gid) != (entry.uid, entry.gid) {
        rustix::fs::fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))?;
    for (attribute, value) in &entry.attributes {
        rustix::fs::fsetxattr(file, &attribute[..], value, XattrFlags::empty())?;
    }
    rustix::fs::futimens(file, &times(entry.changed))
}

/// A time for both: when something was read is nothing that a layer knows.
pub fn times(changed: Time) -> Timestamps {
    let time = Timespec { tv_sec: changed.seconds, tv_nsec: i64::from(changed.nanoseconds) };
    Timestamps { last_access: time, last_modification: time }
}

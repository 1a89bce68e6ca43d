//! Folders of the host below one folder that a program sees, each under a name. They come and go while it runs, and it sees
//! nothing else of them: a link or a `..` leads nowhere else, because there is nothing else.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::MountAttrFlags,
};
use serde::{Deserialize, Serialize};

use crate::mounts::{
    extra::{ExtraMount, Kind, Source},
    live::Mounted,
};

/// Where a program sees them.
pub const FOLDER: &str = "/shares";

/// A folder that is shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedFolder {
    /// What it is called.
    pub name: String,
    /// The folder of the host.
    pub path: String,
    /// It cannot be written.
    pub read_only: bool,
    /// Only these files of it are shared.
    pub files: Option<Vec<String>>,
    /// The member of the document that names it.
    pub blame: String,
}

/// Those that a program sees.
pub struct Shares {
    mounted: Mounted,
}

impl Shares {
    /// None yet.
    pub fn none() -> Result<Shares, Error> {
        Ok(Shares { mounted: Mounted::of(&[], false)? })
    }

    /// Lets the program see one. If it cannot be, nothing of it is seen.
    pub fn add(&mut self, share: &SharedFolder, program: BorrowedFd<'_>) -> Result<(), Error> {
        let place = place_of(share);
        let folder = open(CWD, &share.path, ResolveFlags::empty())
            .map_err(|errno| failed(errno, &share.path, share))?;
        if kind_of(&folder) != Some(FileType::Directory) {
            let detail = format!("{} is no folder", share.path);
            return Err(Error::new(Cause::InvalidData, detail).at(&share.blame));
        }
        let Some(files) = &share.files else {
            return self.mounted.add(&mount(&place, folder.as_fd(), Some(Kind::Directory), share), program);
        };
        let added = files.iter().try_for_each(|file| {
            // What is below the folder, and no link that leads elsewhere.
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
            let found = open(folder.as_fd(), file, resolve).map_err(|errno| failed(errno, file, share))?;
            self.mounted.add(&mount(&format!("{place}/{file}"), found.as_fd(), None, share), program)
        });
        added.inspect_err(|_| drop(self.remove(share, program)))
    }

    /// Lets it see one no more. What it has open it still has.
    pub fn remove(&mut self, share: &SharedFolder, program: BorrowedFd<'_>) -> Result<(), Error> {
        let place = place_of(share);
        let Some(files) = &share.files else {
            self.mounted.remove(&place, program)?;
            return self.mounted.clear(&[place], program);
        };
        // What is below another sorts behind it.
        let mut places = BTreeSet::from([place.clone()]);
        for file in files {
            match self.mounted.remove(&format!("{place}/{file}"), program) {
                // It was added in part.
                Err(error) if error.cause == Cause::NotFound => {}
                removed => removed?,
            }
            let parts = file.match_indices('/').map(|(at, _)| &file[..at]).chain([file.as_str()]);
            places.extend(parts.map(|part| format!("{place}/{part}")));
        }
        let places: Vec<String> = places.into_iter().rev().collect();
        self.mounted.clear(&places, program)
    }
}

fn place_of(share: &SharedFolder) -> String {
    format!("{FOLDER}/{}", share.name)
}

fn open(at: BorrowedFd<'_>, path: &str, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(at, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

fn kind_of(file: &OwnedFd) -> Option<FileType> {
    let about = rustix::fs::statat(file, c"", AtFlags::EMPTY_PATH).ok()?;
    Some(FileType::from_raw_mode(about.st_mode))
}

fn mount(
    destination: &str,
    source: BorrowedFd<'_>,
    wanted: Option<Kind>,
    share: &SharedFolder,
) -> ExtraMount {
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    if share.read_only {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    ExtraMount {
        destination: destination.to_owned(),
        source: Source::Bind {
            path: format!("/proc/self/fd/{}", source.as_raw_fd()),
            recursive: true,
            wanted,
        },
        attributes: u64::from(attributes.bits()),
        cleared: 0,
        recursive: true,
        blame: share.blame.clone(),
    }
}

fn failed(errno: Errno, path: &str, share: &SharedFolder) -> Error {
    Error::from_errno(errno.raw_os_error(), format!("opening {path} to share it")).at(&share.blame)
}

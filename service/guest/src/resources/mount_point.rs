//! A place in the machine at which something of the host's is mounted, until the host has it removed.
//!
//! One that was not kept is taken apart again, so a request that fails leaves nothing behind.

use std::{
    ffi::CString,
    fs, io,
    os::fd::{AsRawFd, BorrowedFd},
    path::PathBuf,
};

use hcs_core::{Cause, Error};
use rustix::{
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, UnmountFlags},
};

use super::folder::{Folder, absolute};

/// A folder over which something is mounted.
#[derive(Debug)]
pub struct MountPoint {
    folder: Option<Folder>,
    path: PathBuf,
    is_mounted: bool,
}

impl MountPoint {
    /// The place, at which nothing is mounted yet.
    pub fn make(path: &str, mode: u32) -> Result<MountPoint, Error> {
        let folder = Folder::make(path, mode, "MountPath")?;
        Ok(MountPoint::at(folder))
    }

    /// The same with a folder that is there.
    pub fn at(folder: Folder) -> MountPoint {
        MountPoint { path: folder.path.clone(), folder: Some(folder), is_mounted: false }
    }

    /// Mounts a file system. Options are its own.
    pub fn mount(
        &mut self,
        source: &str,
        filesystem: &str,
        flags: MountFlags,
        options: &str,
    ) -> Result<(), Error> {
        let failed = |errno: Errno| {
            let doing = format!("mounting {source} as {filesystem} at {}", self.path.display());
            let error = Error::from_errno(errno.raw_os_error(), doing);
            match errno {
                Errno::NODEV => Error { cause: Cause::NotSupported, ..error }
                    .hint("The machine's kernel does not know that file system; load its module."),
                Errno::INVAL => error.hint("The machine's kernel has logged what is wrong with it."),
                _ => error,
            }
        };
        let options = CString::new(options).map_err(|_| failed(Errno::INVAL))?;
        rustix::mount::mount(source, &self.path, filesystem, flags, options.as_c_str()).map_err(failed)?;
        self.is_mounted = true;
        Ok(())
    }

    /// Shows an open folder there, read only if asked for.
    pub fn bind(&mut self, folder: BorrowedFd<'_>, is_read_only: bool) -> Result<(), Error> {
        let failed = |errno: Errno| {
            Error::from_errno(errno.raw_os_error(), format!("showing a folder at {}", self.path.display()))
        };
        rustix::mount::mount_bind(by_descriptor(folder), &self.path).map_err(failed)?;
        self.is_mounted = true;
        if is_read_only {
            // The first call takes over what the folder's own mount allows; only a second one can allow less.
            let flags = MountFlags::BIND | MountFlags::RDONLY;
            rustix::mount::mount_remount(&self.path, flags, c"").map_err(failed)?;
        }
        Ok(())
    }

    /// Says whether what is mounted below is seen elsewhere, and the other way round.
    pub fn propagate(&self, how: MountPropagationFlags) -> Result<(), Error> {
        rustix::mount::mount_change(&self.path, how).map_err(|errno| {
            let doing = format!("changing the propagation of {}", self.path.display());
            Error::from_errno(errno.raw_os_error(), doing).at(super::member("Options"))
        })
    }

    /// It stays.
    pub fn keep(mut self) {
        self.is_mounted = false;
        if let Some(folder) = self.folder.take() {
            folder.keep();
        }
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = rustix::mount::unmount(&self.path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
    }
}

/// Unmounts what is at a place, and removes its folder. What is not there is removed already; a folder in which there is
/// something else, or which cannot be removed, was there before.
pub fn remove(path: &str, member: &str) -> Result<(), Error> {
    let path = absolute(path, member)?;
    match rustix::mount::unmount(&path, UnmountFlags::NOFOLLOW) {
        // Nothing is mounted there, or there is no such place.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(errno) => {
            let error = Error::from_errno(errno.raw_os_error(), format!("unmounting {}", path.display()));
            return Err(match errno {
                Errno::BUSY => error.hint("End the processes that use it first."),
                _ => error,
            });
        }
    }
    match fs::remove_dir(&path) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::DirectoryNotEmpty
                    | io::ErrorKind::ResourceBusy
                    | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Err(Error::from_io(&error, format!("removing {}", path.display())))
        }
        _ => Ok(()),
    }
}

/// The path of what is open, for calls that know only paths.
pub fn by_descriptor(folder: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", folder.as_raw_fd())
}

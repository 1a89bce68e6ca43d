//! Network namespaces, and those that have a name, as `ip netns` keeps them: a file in [`NAMED`] that holds the namespace until
//! it is removed. The agent in a virtual machine makes such; containers enter them by their path.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    mount::UnmountFlags,
};

use super::netlink::Netlink;
use crate::sys;

/// Where those with names are.
const NAMED: &str = "/run/netns";

/// The name of one: that of a file, in lower case, because hosts compare the ids that they are so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Refuses what would lead to another folder.
    pub fn new(text: &str) -> Result<Name, Error> {
        if text.is_empty() || text.contains(['/', '\0']) || text == "." || text == ".." {
            let what = format!("found {text:?}, expected the id of a network namespace");
            return Err(Error::new(Cause::InvalidArgument, what));
        }
        Ok(Name(text.to_lowercase()))
    }

    /// The one that has this path.
    pub fn of_path(path: &str) -> Option<Name> {
        Name::new(Path::new(path).strip_prefix(NAMED).ok()?.to_str()?).ok()
    }

    fn path(&self) -> PathBuf {
        Path::new(NAMED).join(&self.0)
    }

    /// Where what belongs to it is, the file of its resolver among it.
    pub fn settings(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.0)
    }
}

/// Opens a network namespace.
pub fn open(path: &str) -> Result<OwnedFd, Error> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::from_errno(errno.raw_os_error(), format!("opening {path:?}")))?;
    match sys::namespace_kind(file.as_fd()) {
        Ok(libc::CLONE_NEWNET) => Ok(file),
        _ => Err(Error::new(Cause::InvalidData, format!("{path:?} is not a network namespace"))),
    }
}

/// The network namespace that this thread is in.
pub fn here() -> Result<OwnedFd, Errno> {
    rustix::fs::open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Does something in the network namespace of a file or a process, and comes back.
pub fn within<T>(namespace: BorrowedFd<'_>, act: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    away(|| sys::enter_namespaces(namespace, libc::CLONE_NEWNET), act)
}

/// The one with this name, made if there is none.
pub fn named(name: &Name) -> Result<OwnedFd, Error> {
    let path = name.path();
    let failed = |errno: Errno| {
        Error::from_errno(errno.raw_os_error(), format!("making the network namespace {}", name.0))
    };
    match fs::create_dir_all(NAMED).and_then(|()| fs::File::create_new(&path)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return open(&path.to_string_lossy()),
        Err(error) => return Err(Error::from_io(&error, format!("making {}", path.display()))),
    }
    let keep = || rustix::mount::mount_bind("/proc/thread-self/ns/net", &path);
    let loopback = || Netlink::open()?.bring_up("lo");
    let made = away(|| sys::unshare(libc::CLONE_NEWNET), || keep().and_then(|()| loopback()));
    made.map_err(failed).and_then(|()| open(&path.to_string_lossy())).inspect_err(|_| remove(name))
}

/// Removes the name. What is in the namespace keeps it; where nothing is, it is gone. A name that is not there is fine.
pub fn remove(name: &Name) {
    let path = name.path();
    // What is not mounted is a file that was left before it was.
    let _ = rustix::mount::unmount(&path, UnmountFlags::DETACH);
    let _ = fs::remove_file(&path);
    let _ = fs::remove_dir_all(name.settings());
}

/// Leaves the network of this thread by `leave`, does something, and comes back.
fn away<T>(
    leave: impl FnOnce() -> Result<(), Errno>,
    act: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let home = here()?;
    leave()?;
    let done = act();
    come_back(&home);
    done
}

/// Everything of this process belongs to the host's network. Where there is no memory for the way back it is waited for; without
/// it, the process must not go on: what it did next, it would do elsewhere.
fn come_back(home: &OwnedFd) {
    const PATIENCE: Duration = Duration::from_secs(5);
    const PAUSE: Duration = Duration::from_millis(10);
    let deadline = Instant::now() + PATIENCE;
    while let Err(errno) = sys::enter_namespaces(home.as_fd(), libc::CLONE_NEWNET) {
        if Instant::now() > deadline {
            hcs_core::complain!("coming back from a network namespace: {errno}");
            std::process::abort();
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for wrong in ["", ".", "..", "/home", "../home", "a/b", "a\0"] {
            assert!(Name::new(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(Name::of_path("/run/netns/A-b"), Name::new("a-B").ok());
        assert_eq!(Name::of_path("/run/netns/../a"), None);
        assert_eq!(Name::of_path("/proc/1/ns/net"), None);
    }
}

//! What of the host appears in a container, and how that is changed while it runs.
//!
//! A child of the worker enters the container's mount namespace and makes the one mount, or takes it away. What is
//! taken away is known by the number of its mount, so nothing that the container has mounted itself at the same
//! place is taken for it.

use std::{
    ffi::CStr,
    io::Write,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, StatxFlags},
    io::Errno,
    mount::UnmountFlags,
};

use crate::{
    launch::c_string,
    mounts::extra::{self, ExtraMount, Prepared},
    process, report,
    report::Step,
    sys::{self, Clone},
    user_namespace,
};

/// Each mount, by the place that the document names.
#[derive(Debug)]
pub struct Mounted {
    all: Vec<(String, u64)>,
    /// The namespaces in which mounts of the container are made.
    namespaces: i32,
}

impl Mounted {
    /// Those that are ready when the container is created.
    pub fn of(mounts: &[Prepared], has_own_users: bool) -> Result<Mounted, Error> {
        let users = if has_own_users { libc::CLONE_NEWUSER } else { 0 };
        let mut all = Mounted { all: Vec::new(), namespaces: libc::CLONE_NEWNS | users };
        for mount in mounts {
            all.remember(mount)?;
        }
        Ok(all)
    }

    fn remember(&mut self, mount: &Prepared) -> Result<(), Error> {
        if let Some(tree) = mount.tree() {
            let number = mount_number(tree)
                .map_err(|errno| Error::from_errno(errno.raw_os_error(), "looking at a mount"))?;
            self.all.push((mount.destination().to_owned(), number));
        }
        Ok(())
    }

    fn prepare(&self, mount: &ExtraMount) -> Result<Vec<Prepared>, Error> {
        if self.all.iter().any(|known| known.0 == mount.destination) {
            let detail = format!("something is mapped to {:?} already", mount.destination);
            return Err(Error::new(Cause::AlreadyExists, detail).at("$.Settings"));
        }
        extra::prepare(std::slice::from_ref(mount))
    }

    /// Adds a mount that the first process will make.
    pub fn add_before_start(&mut self, mount: &ExtraMount, ready: &mut Vec<Prepared>) -> Result<(), Error> {
        for prepared in self.prepare(mount)? {
            self.remember(&prepared)?;
            ready.push(prepared);
        }
        Ok(())
    }

    /// Makes a mount in a running container.
    pub fn add(&mut self, mount: &ExtraMount, init: BorrowedFd<'_>) -> Result<(), Error> {
        let prepared = self.prepare(mount)?;
        inside(init, self.namespaces, Step::Map, || extra::attach(&prepared))?;
        prepared.iter().try_for_each(|prepared| self.remember(prepared))
    }

    fn find(&self, destination: &str) -> Result<(usize, u64), Error> {
        let found = self.all.iter().position(|known| known.0 == destination);
        found.map(|index| (index, self.all[index].1)).ok_or_else(|| {
            Error::new(Cause::NotFound, format!("nothing is mapped to {destination:?}")).at("$.Settings")
        })
    }

    /// Takes a mount back before the start.
    pub fn remove_before_start(&mut self, destination: &str, ready: &mut Vec<Prepared>) -> Result<(), Error> {
        let (index, _) = self.find(destination)?;
        ready.retain(|prepared| prepared.destination() != destination);
        self.all.remove(index);
        Ok(())
    }

    /// Removes places at which nothing is mounted any more, in this order.
    pub fn clear(&self, places: &[String], init: BorrowedFd<'_>) -> Result<(), Error> {
        let places = places.iter().map(|place| c_string(place)).collect::<Result<Vec<_>, _>>()?;
        inside(init, self.namespaces, Step::Unmap, || places.iter().try_for_each(|place| remove_place(place)))
    }

    /// Takes a mount away from a running container. Files that are open in it stay open.
    pub fn remove(&mut self, destination: &str, init: BorrowedFd<'_>) -> Result<(), Error> {
        let (index, number) = self.find(destination)?;
        let place = extra::Place::new(destination, true)?;
        // The host's, because nothing in the container can have changed it.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = rustix::fs::open(c"/proc", flags, Mode::empty())
            .map_err(|errno| Error::from_errno(errno.raw_os_error(), "opening /proc"))?;
        inside(init, self.namespaces, Step::Unmap, || {
            let top = place.find()?;
            if mount_number(top.as_fd())? != number {
                return Err(Errno::BUSY);
            }
            rustix::process::fchdir(&proc)?;
            let mut path = [0; 32];
            write!(&mut path[..], "self/fd/{}\0", top.as_raw_fd()).map_err(|_| Errno::OVERFLOW)?;
            let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno::INVAL)?;
            rustix::mount::unmount(path, UnmountFlags::DETACH)
        })?;
        self.all.remove(index);
        Ok(())
    }
}

/// Removes a file or an empty folder that something was mounted at.
fn remove_place(place: &CStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(CWD, place, AtFlags::REMOVEDIR) {
        Err(Errno::NOTDIR) => rustix::fs::unlinkat(CWD, place, AtFlags::empty()),
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

fn mount_number(tree: BorrowedFd<'_>) -> Result<u64, Errno> {
    Ok(rustix::fs::statx(tree, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// Does something in a container, in a child that has entered its mount namespace. Raw calls only.
fn inside(
    init: BorrowedFd<'_>,
    namespaces: i32,
    step: Step,
    act: impl Fn() -> Result<(), Errno>,
) -> Result<(), Error> {
    let (reporter, listener) = report::channel()?;
    match sys::clone_process(0, None) {
        Ok(Clone::Child) => {
            match enter(init, namespaces).and_then(|()| act().map_err(|errno| (step, errno))) {
                Ok(()) => reporter.process_id(),
                Err((step, errno)) => reporter.failed(step, errno),
            }
            sys::exit(0)
        }
        Ok(Clone::Parent { pidfd }) => {
            drop(reporter);
            let outcome = listener.until_closed();
            reap(pidfd);
            outcome.into_result("changing the container").map(|_| ())
        }
        Err(errno) => Err(process::not_made(errno, init)),
    }
}

fn enter(init: BorrowedFd<'_>, namespaces: i32) -> Result<(), (Step, Errno)> {
    let _ = sys::die_with_parent();
    // Entering makes the root of the container the root and the working directory.
    sys::enter_namespaces(init, namespaces).map_err(|errno| (Step::EnterNamespaces, errno))?;
    if namespaces & libc::CLONE_NEWUSER != 0 { user_namespace::become_root() } else { Ok(()) }
}

fn reap(pidfd: OwnedFd) {
    let _ = process::wait(pidfd.as_fd());
}

//! Carries out what the plan says of the network, in the worker.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use super::{
    bridge,
    netlink::Netlink,
    plan::Network,
    user_mode::{self, Helper},
};
use crate::{cgroup::Cgroup, sys};

/// Opens the namespace that is there before the container, and fails early for what could not be connected later.
pub fn prepare(network: &Network) -> Result<Option<OwnedFd>, Error> {
    match network {
        Network::Own | Network::Host => Ok(None),
        Network::Bridge { name } => bridge::check(name).map(|()| None),
        Network::User => user_mode::check().map(|()| None),
        Network::Namespace { path, blame } => open(path).map(Some).map_err(|error| error.at(blame)),
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

/// Connects a container whose first process is ready. `owner` names it for whoever has to clean up.
pub fn connect(
    network: &Network,
    owner: &str,
    init: BorrowedFd<'_>,
    cgroup: &Cgroup,
) -> Result<Option<Helper>, Error> {
    match network {
        Network::Own | Network::Host | Network::Namespace { .. } => Ok(None),
        Network::Bridge { name } => {
            let (namespace, inside) = visit(init)?;
            bridge::connect(name, owner, &inside, namespace.as_fd()).map(|()| None)
        }
        Network::User => {
            let (namespace, _) = visit(init)?;
            user_mode::connect(init, namespace.as_fd(), cgroup).map(Some)
        }
    }
}

/// The container's namespace and a conversation with its network.
fn visit(init: BorrowedFd<'_>) -> Result<(OwnedFd, Netlink), Error> {
    within(init, || Ok((here()?, Netlink::open()?))).map_err(|errno| {
        Error::from_errno(errno.raw_os_error(), "entering the container's network namespace")
    })
}

/// Does something in the network namespace of a file or a process, and comes back.
pub fn within<T>(namespace: BorrowedFd<'_>, act: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let home = here()?;
    sys::enter_namespaces(namespace, libc::CLONE_NEWNET)?;
    let done = act();
    // Everything of this process belongs to the host's network; without it, it must not go on.
    sys::enter_namespaces(home.as_fd(), libc::CLONE_NEWNET)?;
    done
}

/// The network namespace that this process is in.
fn here() -> Result<OwnedFd, Errno> {
    rustix::fs::open("/proc/self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

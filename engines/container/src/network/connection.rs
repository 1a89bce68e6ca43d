//! Carries out what the plan says of the network, in the worker.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hcs_core::Error;

use super::{
    bridge, namespace,
    netlink::Netlink,
    plan::Network,
    user_mode::{self, Helper},
};
use crate::cgroup::Cgroup;

/// Opens the namespace that is there before the container, and fails early for what could not be connected later.
pub fn prepare(network: &Network) -> Result<Option<OwnedFd>, Error> {
    match network {
        Network::Own | Network::Host => Ok(None),
        Network::Bridge { name } => bridge::check(name).map(|()| None),
        Network::User => user_mode::check().map(|()| None),
        Network::Namespace { path, blame } => {
            namespace::open(path).map(Some).map_err(|error| error.at(blame))
        }
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
    namespace::within(init, || Ok((namespace::here()?, Netlink::open()?))).map_err(|errno| {
        Error::from_errno(errno.raw_os_error(), "entering the container's network namespace")
    })
}

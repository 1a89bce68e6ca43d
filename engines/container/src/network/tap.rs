//! Tap devices: what a virtual machine sends appears on the host as if it came over a cable. One that is made here goes
//! with the last descriptor of it; one that was there before stays.

use std::os::fd::{AsFd, OwnedFd};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use super::{namespace, netlink::Netlink};
use crate::sys;

/// Makes one that is up and at a bridge.
pub fn at_bridge(bridge: &str) -> Result<OwnedFd, Error> {
    /// The kernel puts a number there.
    const NAME: &str = "hcs-tap%d";
    let failed = |errno: Errno| {
        Error::from_errno(errno.raw_os_error(), format!("making a port of the bridge {bridge}"))
    };
    if !std::path::Path::new(&format!("/sys/class/net/{bridge}/bridge")).is_dir() {
        return Err(Error::new(Cause::NotFound, format!("the host has no bridge {bridge:?}")));
    }
    let (tap, name) = open(NAME).map_err(failed)?;
    let host = Netlink::open().map_err(failed)?;
    host.index(bridge).and_then(|index| host.attach(&name, index)).map_err(failed)?;
    Ok(tap)
}

/// Opens the one of this name, or makes it, in the network namespace with this file or in that of the host. It is up.
pub fn named(name: &str, namespace: Option<&str>) -> Result<OwnedFd, Error> {
    let failed = |errno: Errno| match errno {
        Errno::BUSY => {
            Error::new(Cause::InvalidState, format!("the tap device {name} belongs to somebody else"))
        }
        errno => Error::from_errno(errno.raw_os_error(), format!("opening the tap device {name}")),
    };
    let inside = || {
        let (tap, name) = open(name)?;
        Netlink::open()?.bring_up(&name)?;
        Ok(tap)
    };
    let opened = match namespace {
        None => inside(),
        Some(path) => namespace::within(namespace::open(path)?.as_fd(), inside),
    };
    opened.map_err(failed)
}

/// A device of the namespace that this process is in.
fn open(name: &str) -> Result<(OwnedFd, String), Errno> {
    let file = rustix::fs::open("/dev/net/tun", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let name = sys::become_tap(file.as_fd(), name)?;
    Ok((file, name))
}

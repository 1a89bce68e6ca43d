//! A container at a bridge of the host.
//!
//! Our own bridge, [`OWN_BRIDGE`], is made when the first container needs it and removed with the last; behind it is
//! the network 10.87.0.0/16, and the host at its first address. An address is taken by making an interface that is
//! named after it: the kernel allows a name once, whichever service asks, and frees it when the container is gone,
//! however it went. Another bridge belongs to whoever has made it: a container there has no address until it asks
//! for one.

use std::{
    fs, io,
    net::Ipv4Addr,
    os::fd::{BorrowedFd, OwnedFd},
    path::Path,
};

use hcs_core::{
    Cause, Error,
    lock::{self, Held},
};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use super::{
    nat,
    netlink::{Netlink, Peer},
    plan::OWN_BRIDGE,
};

/// The container's end.
pub const INSIDE: &str = "eth0";
/// The first address of the network, the host's, and how long the network's part of an address is.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 87, 0, 1);
const SUBNET: &str = "10.87.0.0/16";
const PREFIX: u8 = 16;
/// What the names of our ends begin with.
const OUR_ENDS: &str = "hcs-";
/// Who makes or removes the bridge has this file locked.
const LOCK: &str = "/run/hcs-bridge.lock";
/// Says that a bridge is ours and complete.
const READY: &str = "made by hcsd for its containers";

/// Fails if a container could not be connected to this bridge.
pub fn check(bridge: &str) -> Result<(), Error> {
    if bridge == OWN_BRIDGE {
        return nat::check();
    }
    if Path::new(&format!("/sys/class/net/{bridge}/bridge")).is_dir() {
        return Ok(());
    }
    Err(Error::new(Cause::NotFound, format!("the host has no bridge {bridge:?}"))
        .at("$.Container.Networking.Linux.Name"))
}

/// Connects a container. `owner` names it for whoever has to clean up.
pub fn connect(bridge: &str, owner: &str, inside: &Netlink, namespace: BorrowedFd<'_>) -> Result<(), Error> {
    let failed = |doing: &str| {
        let doing = format!("{doing} at the bridge {bridge}");
        move |errno: Errno| Error::from_errno(errno.raw_os_error(), &doing)
    };
    let host = Netlink::open().map_err(failed("making a connection"))?;
    let peer = Peer { name: INSIDE, namespace };
    if bridge != OWN_BRIDGE {
        let index = host.index(bridge).map_err(failed("making a connection"))?;
        take_name(owner, |name, _| add_end(&host, name, owner, index, &peer))
            .map_err(failed("making a connection"))?;
        return inside.bring_up(INSIDE).map_err(failed("bringing the interface up"));
    }
    // Nobody removes the bridge between its making and its use.
    let _lock = lock()?;
    let index = ensure(&host)?;
    let address = take_name(owner, |name, _| add_end(&host, name, owner, index, &peer))
        .map_err(failed("making a connection"))?;
    inside.bring_up(INSIDE).map_err(failed("bringing the interface up"))?;
    inside.add_address(INSIDE, address, PREFIX).map_err(failed("giving an address"))?;
    inside.add_default_route(GATEWAY).map_err(failed("making the default route"))
}

/// Removes what connected the container with this name, and our bridge if nobody is there any more. Nothing to remove
/// is success.
pub fn disconnect(owner: &str) -> Result<(), Error> {
    let ours: Vec<String> = interfaces()?.into_iter().filter(|name| name.starts_with(OUR_ENDS)).collect();
    if ours.is_empty() && alias(OWN_BRIDGE)?.is_none() {
        return Ok(());
    }
    let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), "removing a network interface");
    let host = Netlink::open().map_err(failed)?;
    let remove = |name: &str| match host.remove(name) {
        // The kernel may have been quicker: it removes them with the container's namespace.
        Ok(()) | Err(Errno::NODEV) => Ok(()),
        Err(errno) => Err(failed(errno)),
    };
    for name in &ours {
        if alias(name)?.as_deref() == Some(owner) {
            remove(name)?;
        }
    }
    // The container has left; that an empty bridge stays is no matter of it, and who comes next tries again.
    if let Err(error) = remove_unused(&remove) {
        hcs_core::complain!("the bridge {OWN_BRIDGE} stays: {error}");
    }
    Ok(())
}

/// Removes our bridge if nobody is there any more.
fn remove_unused(remove: &impl Fn(&str) -> Result<(), Error>) -> Result<(), Error> {
    let _lock = lock()?;
    // Under the lock nobody is making it, so one that is not complete is what a failure or a crash has left.
    if alias(OWN_BRIDGE)?.is_some_and(|said| said.is_empty() || said == READY) && ports()? == 0 {
        nat::remove()?;
        remove(OWN_BRIDGE)?;
    }
    Ok(())
}

/// The kernel takes what an interface says of itself only when it is there.
fn add_end(host: &Netlink, name: &str, owner: &str, bridge: u32, peer: &Peer<'_>) -> Result<(), Errno> {
    host.add_pair(name, bridge, peer)?;
    host.set_alias(name, owner)
}

/// Our bridge, made if it is missing. An incomplete one, left by a crash, is completed.
fn ensure(host: &Netlink) -> Result<u32, Error> {
    let done = |outcome: Result<(), Errno>| match outcome {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::from_errno(errno.raw_os_error(), format!("making the bridge {OWN_BRIDGE}"))),
    };
    if alias(OWN_BRIDGE)?.as_deref() != Some(READY) {
        done(host.add_bridge(OWN_BRIDGE))?;
        done(host.add_address(OWN_BRIDGE, GATEWAY, PREFIX))?;
        done(host.bring_up(OWN_BRIDGE))?;
        nat::set_up(OWN_BRIDGE, SUBNET)?;
        done(host.set_alias(OWN_BRIDGE, READY))?;
    }
    host.index(OWN_BRIDGE).map_err(|errno| Error::from_errno(errno.raw_os_error(), "finding the bridge"))
}

/// Finds an address that nobody has: `take` fails with EXIST for those that are taken. The search begins at a place
/// that depends on the container, so that they seldom meet.
fn take_name(
    owner: &str,
    mut take: impl FnMut(&str, Ipv4Addr) -> Result<(), Errno>,
) -> Result<Ipv4Addr, Errno> {
    /// The host's, the network's and the broadcast address are nobody's.
    const ADDRESSES: u32 = (1 << 16) - 3;
    let start = owner.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    for step in 0..ADDRESSES {
        let address = Ipv4Addr::from(u32::from(GATEWAY) + 1 + start.wrapping_add(step) % ADDRESSES);
        match take(&format!("{OUR_ENDS}{:08x}", u32::from(address)), address) {
            Ok(()) => return Ok(address),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::ADDRNOTAVAIL)
}

fn interfaces() -> Result<Vec<String>, Error> {
    let entries = fs::read_dir("/sys/class/net").map_err(|error| unseen(&error))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// What an interface says of itself; `None` if there is no such interface.
fn alias(interface: &str) -> Result<Option<String>, Error> {
    match fs::read_to_string(format!("/sys/class/net/{interface}/ifalias")) {
        Err(error) if is_gone(&error) => Ok(None),
        text => Ok(Some(text.map_err(|error| unseen(&error))?.trim_end().to_owned())),
    }
}

/// How many are connected to our bridge. Where they cannot be counted nobody may think that there are none.
fn ports() -> Result<usize, Error> {
    match fs::read_dir(format!("/sys/class/net/{OWN_BRIDGE}/brif")) {
        Err(error) if is_gone(&error) => Ok(0),
        ports => Ok(ports.map_err(|error| unseen(&error))?.count()),
    }
}

/// Whether an interface is not there, or is just going.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::EINVAL))
}

fn unseen(error: &io::Error) -> Error {
    Error::from_io(error, "looking at the network interfaces")
}

/// Held by one process of the host at a time, and let go with it. The file goes with the bridge.
struct Lock {
    _file: Held<OwnedFd>,
}

/// Takes the lock, which may be waited for. Only root can open the file, so nobody else can have us wait.
fn lock() -> Result<Lock, Error> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let taken =
        lock::take_at(Path::new(LOCK), || Ok(rustix::fs::open(LOCK, flags, Mode::RUSR | Mode::WUSR)?));
    let file = taken.map_err(|error| Error::from_io(&error, "locking the bridge"))?;
    Ok(Lock { _file: file })
}

impl Drop for Lock {
    fn drop(&mut self) {
        if matches!(alias(OWN_BRIDGE), Ok(None)) {
            // Still held: whoever has opened it sees that it is not the one that is there.
            let _ = fs::remove_file(LOCK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_taken_is_passed_by() {
        let mut taken = Vec::new();
        let mut once = |name: &str, address| match taken.contains(&address) {
            true => Err(Errno::EXIST),
            false => {
                assert_eq!(name, format!("hcs-{:08x}", u32::from(address)));
                taken.push(address);
                Ok(())
            }
        };
        let first = take_name("a", &mut once).unwrap();
        let second = take_name("a", &mut once).unwrap();
        assert_ne!(first, second);
        assert_eq!([first.octets()[0], first.octets()[1]], [10, 87]);
    }
}

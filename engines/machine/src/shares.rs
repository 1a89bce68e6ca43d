//! The program that serves a machine the folders that are shared with it: one for all of them, which sees nothing but them.
//! It acts for every user of the guest, so it is root with the rights that files need, and with no others.

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use hcs_container::{
    cgroup::Cgroup,
    detached,
    host_view::View,
    shares::{self, SharedFolder, Shares},
};
use hcs_core::{Error, host_program};
use rustix::{
    io::Errno,
    mount::MountAttrFlags,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
    thread::CapabilitySet,
};

use crate::{helper::Helper, plan::Host, prefix};

/// What the guest mounts.
pub const TAG: &str = "hcs";

/// The member that asks for it.
const BLAME: &str = "$.VirtualMachine.Devices.Plan9";

/// What files need of one who acts for others.
pub(crate) const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    // With that it gives up the others itself, and this one.
    .union(CapabilitySet::SETPCAP);

/// It, running.
pub struct Server {
    program: Helper,
    shares: Shares,
}

impl Server {
    /// Starts it; what QEMU speaks to it by.
    pub fn start(host: &Host, cgroup: &Cgroup) -> Result<(OwnedFd, Server), Error> {
        let path = find(host)?;
        let failed = |errno: Errno| {
            Error::from_errno(errno.raw_os_error(), format!("starting {}", path.display())).at(BLAME)
        };
        let (listener, connected) = conversation().map_err(failed)?;
        let view =
            View::open(&[prefix(Path::new(&host.qemu)).to_owned()])?.with_open_folder(shares::FOLDER)?;
        let arguments = [
            "virtiofsd".to_owned(),
            format!("--fd={}", listener.as_raw_fd()),
            format!("--shared-dir={}", shares::FOLDER),
            // All that it sees is what it is given.
            "--sandbox=none".to_owned(),
            "--rlimit-nofile=0".to_owned(),
            "--xattr".to_owned(),
            "--log-level=error".to_owned(),
        ];
        let rights = (CAPABILITIES, &view);
        let program = Helper::serve(&path, &arguments, &[listener.as_fd()], rights, cgroup)?;
        Ok((connected, Server { program, shares: Shares::none()? }))
    }

    /// Shares a folder.
    pub fn add(&mut self, share: &SharedFolder) -> Result<(), Error> {
        self.shares.add(share, self.program.as_fd())
    }

    /// Shares it no more.
    pub fn remove(&mut self, share: &SharedFolder) -> Result<(), Error> {
        self.shares.remove(share, self.program.as_fd())
    }
}

/// A listening socket, and one who is connected to it. It lies in a file system that nobody else ever sees: a name of the
/// kernel's own could be connected to, earlier than by us, by every process in the network of the host.
fn conversation() -> Result<(OwnedFd, OwnedFd), Errno> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let place = detached::make(c"tmpfs", [(c"mode", c"700"), (c"size", c"64k")], attributes)?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/virtiofsd", place.as_raw_fd()))?;
    let socket =
        || rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let (listener, connected) = (socket()?, socket()?);
    rustix::net::bind(&listener, &address)?;
    rustix::net::listen(&listener, 1)?;
    rustix::net::connect(&connected, &address)?;
    Ok((listener, connected))
}

/// Beside QEMU, or where distributions put it.
fn find(host: &Host) -> Result<PathBuf, Error> {
    const PLACES: &[&str] = &["libexec/virtiofsd", "lib/qemu/virtiofsd", "lib/virtiofsd", "bin/virtiofsd"];
    let beside = prefix(Path::new(&host.qemu)).to_owned();
    let prefixes = [beside, PathBuf::from("/usr/local"), PathBuf::from("/usr")];
    let places = prefixes.iter().flat_map(|prefix| PLACES.iter().map(move |place| prefix.join(place)));
    match places.into_iter().find(|place| place.is_file()) {
        Some(path) => Ok(path),
        None => host_program::find("virtiofsd", "virtiofsd").map_err(|error| error.at(BLAME)),
    }
}

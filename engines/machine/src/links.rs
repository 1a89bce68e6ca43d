//! What is behind network adapters: tap devices of the host, and programs that speak for the guest.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use hcs_container::{
    cgroup::Cgroup,
    host_process::{self, Program},
    network::{host_program, tap},
    process,
};
use hcs_core::Error;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
};

use crate::plan::{Adapter, Host, Link};

/// A program that speaks for a guest. It ends when nobody holds the other end of its socket, and with this.
pub struct Speaker {
    /// The place of the adapter that it speaks for.
    pub slot: u32,
    pidfd: OwnedFd,
}

impl Drop for Speaker {
    fn drop(&mut self) {
        // Who is dead already is only waited for.
        let _ = process::signal(self.pidfd.as_fd(), libc::SIGKILL);
        let _ = process::wait(self.pidfd.as_fd());
    }
}

/// What QEMU is given of an adapter's link, and who speaks for it.
pub fn open(
    adapter: &Adapter,
    host: &Host,
    cgroup: &Cgroup,
) -> Result<(Option<OwnedFd>, Option<Speaker>), Error> {
    let opened = match &adapter.link {
        Link::None => return Ok((None, None)),
        Link::Bridge { name } => tap::at_bridge(name).map(|tap| (Some(tap), None)),
        Link::Tap { name, namespace } => tap::named(name, namespace.as_deref()).map(|tap| (Some(tap), None)),
        Link::User => speak(adapter, host, cgroup).map(|(socket, speaker)| (Some(socket), Some(speaker))),
    };
    opened.map_err(|error| match error.path {
        Some(_) => error,
        None => error.at(format!("{}.Linux", adapter.blame)),
    })
}

fn speak(adapter: &Adapter, host: &Host, cgroup: &Cgroup) -> Result<(OwnedFd, Speaker), Error> {
    let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), "starting passt");
    let path = host_program::find("passt", "passt", &format!("{}.Linux.Mode", adapter.blame))?;
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(failed)?;
    let nowhere =
        rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    // The host's own services are not the guest's, and nobody gets to the guest by this.
    let arguments = [
        "passt",
        "--foreground",
        "--quiet",
        "--no-map-gw",
        "--tcp-ports",
        "none",
        "--udp-ports",
        "none",
        "--fd",
    ];
    let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
    arguments.push(theirs.as_raw_fd().to_string());
    let keep: [BorrowedFd<'_>; 1] = [theirs.as_fd()];
    let program = Program {
        path: &path,
        arguments: &arguments,
        environment: &[],
        stdin: nowhere.as_fd(),
        stderr: nowhere.as_fd(),
        keep: &keep,
        user: host.user,
        groups: &[],
        view: None,
    };
    let pidfd = host_process::start(&program, cgroup)?;
    Ok((ours, Speaker { slot: adapter.slot, pidfd }))
}

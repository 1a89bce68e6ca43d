//! The program that carries the sockets of a machine: what its guest says to a port of the host comes out at a Unix socket that
//! somebody has made there, and who connects to the guest does so at one that this program makes.

use std::{
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

use hcs_container::{cgroup::Cgroup, host_view::View, process};
use hcs_core::{Cause, Error};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
    thread::CapabilitySet,
};

use crate::{
    helper::{self, Helper},
    plan::Host,
    prefix,
};

const PROGRAM: &str = "vhost-device-vsock";

/// Where it sees the sockets of others, and the one that it makes there.
const SOCKETS: &str = "/sockets";
/// Where it makes the one at which QEMU speaks to it. Nobody else sees that.
const PRIVATE: &str = "/private";

/// How much a guest may send before it was delivered. A newer kernel (6.17, and 6.12 of Debian) sends more than 32 KiB at once in
/// several pieces, which the program drops without a word; so there is never so much. Its ring is right only for powers of two.
const UNDER_WAY: u32 = 16 << 10;

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(5);

/// It, running.
pub struct Sockets {
    program: Helper,
}

impl Sockets {
    /// Starts it for the sockets in this folder, which this member asks for; what QEMU speaks to it by.
    pub fn start(
        host: &Host,
        cgroup: &Cgroup,
        folder: &str,
        blame: &str,
    ) -> Result<(OwnedFd, Sockets), Error> {
        let path = helper::find(host, PROGRAM, PROGRAM, blame)?;
        let view = View::open(&[prefix(&path).to_owned()])?
            .with_folder(Path::new(folder), SOCKETS)?
            .with_open_folder(PRIVATE)?;
        let arguments = [
            PROGRAM.to_owned(),
            // Guests know each other's numbers only where they are told; here each is alone with its host.
            "--guest-cid=3".to_owned(),
            format!("--uds-path={SOCKETS}/connect"),
            format!("--socket={PRIVATE}/device"),
            format!("--tx-buffer-size={UNDER_WAY}"),
        ];
        // It connects to the sockets of everybody who could make one there.
        let rights = (CapabilitySet::DAC_OVERRIDE, &view);
        let sockets = Sockets { program: Helper::serve(&path, &arguments, &[], rights, cgroup)? };
        let connected = sockets.connect().map_err(|error| error.at(blame))?;
        Ok((connected, sockets))
    }

    /// Connects to it when it listens. It does not say when; nothing else can be waited for.
    fn connect(&self) -> Result<OwnedFd, Error> {
        let gone = || Error::new(Cause::Unexpected, format!("{PROGRAM} does not listen"));
        let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), format!("speaking to {PROGRAM}"));
        let process = process::number(self.program.as_fd()).ok_or_else(gone)?;
        let address = SocketAddrUnix::new(format!("/proc/{process}/root{PRIVATE}/device")).map_err(failed)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let socket =
                rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                    .map_err(failed)?;
            match rustix::net::connect(&socket, &address) {
                Ok(()) => return Ok(socket),
                Err(Errno::NOENT | Errno::CONNREFUSED) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(errno) => return Err(failed(errno)),
            }
            if process::number(self.program.as_fd()).is_none() {
                return Err(gone());
            }
        }
    }
}

//! A port of the host, as a guest with sockets calls it: a Unix socket in the folder of the machine's sockets, where what carries
//! them looks for it.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};

use hcs_core::Error;
use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

/// What the socket of a port is called.
pub fn name(port: u32) -> String {
    format!("connect_{port}")
}

/// Opens the folder of a machine's sockets.
pub fn open_folder(folder: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(folder, flags, Mode::empty()).map_err(|errno| {
        let doing = format!("opening the folder of the machine's sockets, {}", folder.display());
        Error::from_errno(errno.raw_os_error(), doing)
    })
}

/// Listens at a port, for root alone.
pub fn listen(folder: &OwnedFd, port: u32) -> Result<OwnedFd, Errno> {
    /// How many may call before one is let in. The others wait in the carrier of the sockets.
    const CALLS: i32 = 64;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Its mode is that of the socket it is made from: nobody but root can connect at any moment.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    // A path is too long soon.
    let path = format!("/proc/self/fd/{}/{}", folder.as_raw_fd(), name(port));
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, CALLS).inspect_err(|_| close(folder, port))?;
    Ok(socket)
}

/// Nobody is to call there any more.
pub fn close(folder: &OwnedFd, port: u32) {
    let _ = rustix::fs::unlinkat(folder, name(port), AtFlags::empty());
}

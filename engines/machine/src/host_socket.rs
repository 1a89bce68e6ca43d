//! Sockets of the host at which a machine is spoken to, or speaks: made, connected to, and removed.

use std::os::fd::OwnedFd;

use hcs_container::host_process::with_rights_of;
use hcs_core::{Cause, Error};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

use crate::plan::{Host, Pipe};

/// Makes a socket at which one is waited for, for root.
pub fn listen(pipe: &Pipe) -> Result<OwnedFd, Error> {
    let path = pipe.socket.as_str();
    let make = || {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        // Its mode is that of the socket it is made from; nobody else can connect at any moment.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        rustix::net::listen(&socket, 1).inspect_err(|_| remove([path].into_iter()))?;
        Ok(socket)
    };
    make().map_err(|errno: Errno| {
        Error::from_errno(errno.raw_os_error(), format!("making the socket {path}")).at(&pipe.blame)
    })
}

/// Connects to a socket of somebody, as the machine's user.
pub fn connect(host: &Host, path: &str) -> Result<OwnedFd, Error> {
    let connected = with_rights_of(host.user, &[host.group], || connect_at_once(path));
    connected.and_then(|connected| connected).map_err(|errno| match errno {
        Errno::AGAIN => Error::new(Cause::InUse, format!("too many wait at {path} to be let in")),
        errno => Error::from_errno(errno.raw_os_error(), format!("connecting to {path}")),
    })
}

/// Connects to the socket at this path without waiting: `AGAIN` is that those who wait to be let in are too many.
pub fn connect_at_once(path: &str) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::fs::fcntl_setfl(&socket, OFlags::empty())?;
    Ok(socket)
}

/// Removes sockets that were made. What is something else stays.
pub fn remove<'a>(paths: impl Iterator<Item = &'a str>) {
    use std::os::unix::fs::FileTypeExt;
    for path in paths {
        if std::fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket()) {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lets_nobody_in_is_not_waited_for() {
        let path = std::env::temp_dir().join(format!("hcs-full-{}", std::process::id()));
        let path = path.to_str().unwrap();
        let listener =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let mut waiting = Vec::new();
        let refused = loop {
            match connect_at_once(path) {
                Ok(socket) => waiting.push(socket),
                Err(errno) => break errno,
            }
        };
        remove([path].into_iter());
        assert_eq!((refused, waiting.is_empty()), (Errno::AGAIN, false));
    }
}

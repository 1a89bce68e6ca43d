//! Sockets to the host of this machine: the way of an agent whose machine has no port for it.
#![expect(unsafe_code, reason = "rustix has no addresses of vsock")]

use std::{
    mem::size_of,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
};

/// Calls a port of the host. The kernel waits two seconds for a host that says neither yes nor no.
pub fn call(port: u32) -> Result<OwnedFd, Errno> {
    let socket =
        rustix::net::socket_with(AddressFamily::VSOCK, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let address = libc::sockaddr_vm {
        svm_family: libc::AF_VSOCK as libc::sa_family_t,
        svm_reserved1: 0,
        svm_port: port,
        svm_cid: libc::VMADDR_CID_HOST,
        svm_zero: [0; 4],
    };
    // SAFETY: connect reads as many bytes as it is told from the address, which is a whole `sockaddr_vm` that lives until it
    // returns, and keeps nothing of it. The descriptor is open as long as `socket` is.
    let connected = unsafe {
        libc::connect(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_vm>() as libc::socklen_t,
        )
    };
    match connected {
        0 => Ok(socket),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// Whether this machine has such sockets to its host at all.
pub fn is_there() -> bool {
    // Nobody is at port 0; a machine without a way to its host says that there is none.
    !matches!(call(0), Err(Errno::AFNOSUPPORT | Errno::NODEV | Errno::NETUNREACH))
}

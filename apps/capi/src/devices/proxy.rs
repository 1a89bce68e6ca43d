//! The exports by which one process hosts devices for a machine that another process has the handle of.
//!
//! On Windows both pass COM objects. Here they pass the ends of one connected Unix socket, stream or sequenced packets:
//!
//! ```text
//!   host process                                              owner of the system
//!   HdvInitializeDeviceHostForProxy ── request, credentials ──> HdvProxyDeviceHost ──> service
//!                                   <── result, channel ───────
//! ```
//!
//! ```text
//!   request   magic "HDVPROX1" (8 bytes), RuntimeId of the machine (16, in the order of its text)
//!   result    HRESULT (4, little endian)
//! ```
//!
//! Who asks is what the kernel says of the sender of the request (`SCM_CREDENTIALS`). `SO_PEERCRED` would name whoever
//! made the socket, which is the owner itself if that passes one end of a pair to a child.
#![expect(unsafe_code, reason = "exported names; credentials beside a message")]

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr,
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error, ready};
use hcs_ipc::socket;
use hcs_schema::Guid;
use rustix::{
    event::PollFlags,
    io::Errno,
    net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType, UCred, sockopt},
    process,
};

use super::host::{DeviceHost, channel};
use crate::{
    abi::{CGuid, Code, Handle, In, Out, code},
    system::System,
    table, win32,
};

const MAGIC: &[u8; 8] = b"HDVPROX1";
/// Bytes of a request.
const REQUEST: usize = 24;
/// Bytes of a result.
const RESULT: usize = 4;
/// How long the owner waits for the request. The host process waits for the result as long as the owner is there.
const PATIENCE: Duration = Duration::from_secs(10);

fn request(machine: Guid) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..].copy_from_slice(machine.as_bytes());
    bytes
}

/// A descriptor of our own for the connection that stands for a COM object.
fn connection(object: Handle) -> Result<OwnedFd, Cause> {
    let socket = OwnedFd::from(win32::file_of(object).ok_or(Cause::InvalidArgument)?);
    let is_unix = sockopt::socket_domain(&socket).is_ok_and(|domain| domain == AddressFamily::UNIX);
    let keeps_order = sockopt::socket_type(&socket)
        .is_ok_and(|kind| matches!(kind, SocketType::STREAM | SocketType::SEQPACKET));
    if is_unix && keeps_order { Ok(socket) } else { Err(Cause::InvalidArgument) }
}

/// Waits until the socket is ready for this.
fn wait(socket: BorrowedFd<'_>, flags: PollFlags, deadline: Option<Instant>) -> Result<(), Error> {
    match ready::until(socket, flags, deadline) {
        Ok(found) if found.is_empty() => {
            Err(Error::new(Cause::DeadlineExceeded, "the other process says nothing"))
        }
        Ok(_) => Ok(()),
        Err(errno) => Err(Error::from_errno(errno.raw_os_error(), "waiting for a process")),
    }
}

/// Does something with a socket once it is ready, and again while it was not.
fn once_ready<T>(
    socket: BorrowedFd<'_>,
    flags: PollFlags,
    deadline: Option<Instant>,
    mut act: impl FnMut() -> io::Result<T>,
) -> Result<T, Error> {
    loop {
        wait(socket, flags, deadline)?;
        match act() {
            Ok(done) => return Ok(done),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                // It did so without having read what was said to it.
                io::ErrorKind::ConnectionReset => return Err(hung_up()),
                io::ErrorKind::NotConnected => {
                    return Err(Error::new(Cause::InvalidArgument, "the socket is not connected"));
                }
                _ => return Err(Error::from_io(&error, "speaking with the other process")),
            },
        }
    }
}

fn hung_up() -> Error {
    Error::new(Cause::BrokenPipe, "the other process has hung up")
}

/// That a message of this length came or went in one piece. It is shorter than anything that a socket would cut.
fn whole(length: usize, wanted: usize) -> Result<(), Error> {
    match length {
        0 => Err(hung_up()),
        _ if length == wanted => Ok(()),
        _ => Err(Error::new(Cause::InvalidData, format!("a message has {length} bytes, not {wanted}"))),
    }
}

/// Sends a request, with who we are beside it.
fn send_request(socket: BorrowedFd<'_>, machine: Guid) -> Result<(), Error> {
    let bytes = request(machine);
    let own = UCred { pid: process::getpid(), uid: process::getuid(), gid: process::getgid() };
    let sent = once_ready(socket, PollFlags::OUT, None, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        // The space is made for exactly this.
        control.push(SendAncillaryMessage::ScmCredentials(own));
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        Ok(rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, flags)?)
    })?;
    whole(sent, REQUEST)
}

/// Receives a request; the machine that it is about, and the process that has sent it.
fn receive_request(socket: BorrowedFd<'_>) -> Result<(Guid, u32), Error> {
    let before = sockopt::socket_passcred(socket).unwrap_or(false);
    let refused = |errno: Errno| Error::from_errno(errno.raw_os_error(), "asking who the other process is");
    sockopt::set_socket_passcred(socket, true).map_err(refused)?;
    let mut bytes = [0; REQUEST];
    let deadline = Some(Instant::now() + PATIENCE);
    let received = once_ready(socket, PollFlags::IN, deadline, || receive_signed(socket, &mut bytes));
    // The socket is the caller's, who may go on using it.
    let _ = sockopt::set_socket_passcred(socket, before);
    let (length, sender) = received?;
    whole(length, REQUEST)?;
    let mut machine = [0; 16];
    machine.copy_from_slice(&bytes[8..]);
    match sender {
        Some(sender) if bytes[..8] == *MAGIC => Ok((Guid::from_bytes(machine), sender)),
        _ => Err(Error::new(Cause::InvalidData, "what came is no request for devices")),
    }
}

/// Reads once, with the process that has sent it; `None` for one that has not said so, or that cannot be seen from here.
/// Descriptors that come beside it are closed by the kernel, as there is no room for them.
fn receive_signed(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Option<u32>)> {
    // SAFETY: these only compute sizes.
    const SPACE: usize = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) } as usize;
    let mut control = [0u64; SPACE.div_ceil(8)];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: zeros are a header without anything.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = ptr::from_mut(&mut part);
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = SPACE;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header names `bytes` and `control`, which live during the call, with their sizes.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, flags) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has filled the header; what it points to is in `control`, which is aligned for it, and its length is
    // looked at before it is read.
    let sender = unsafe {
        let first = libc::CMSG_FIRSTHDR(&header);
        let holds_credentials = !first.is_null()
            && (*first).cmsg_level == libc::SOL_SOCKET
            && (*first).cmsg_type == libc::SCM_CREDENTIALS
            && (*first).cmsg_len == libc::CMSG_LEN(size_of::<libc::ucred>() as u32) as usize;
        holds_credentials.then(|| libc::CMSG_DATA(first).cast::<libc::ucred>().read_unaligned().pid)
    };
    Ok((length, sender.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0)))
}

/// Sends a result, with the channel of a success.
fn send_result(socket: BorrowedFd<'_>, result: Code, channel: Option<&OwnedFd>) -> Result<(), Error> {
    let fds: Vec<BorrowedFd<'_>> = channel.iter().map(|channel| channel.as_fd()).collect();
    let deadline = Some(Instant::now() + PATIENCE);
    let sent =
        once_ready(socket, PollFlags::OUT, deadline, || socket::send(socket, &result.to_le_bytes(), &fds))?;
    whole(sent, RESULT)
}

/// Receives a result: the channel, or the code that the owner has failed with.
fn receive_result(socket: BorrowedFd<'_>) -> Result<OwnedFd, Code> {
    let mut bytes = [0; RESULT];
    let received = once_ready(socket, PollFlags::IN, None, || socket::receive(socket, &mut bytes));
    let received = received.map_err(|error| code(error.cause))?;
    whole(received.length, RESULT).map_err(|error| code(error.cause))?;
    match Code::from_le_bytes(bytes) {
        failure if failure < 0 => Err(failure),
        _ => received.fds.into_iter().next().ok_or(code(Cause::InvalidData)),
    }
}

/// Whether this process may host devices of the system.
fn check(system: &System, machine: Guid, sender: u32, target: u32) -> Result<(), Error> {
    if system.machine() != Some(machine) {
        let what = format!("the process wants to host devices of {machine}, which is another system");
        return Err(Error::new(Cause::InvalidArgument, what));
    }
    if target != 0 && target != sender {
        let what = format!("process {sender} asks, and process {target} was expected");
        return Err(Error::new(Cause::AccessDenied, what));
    }
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn HdvInitializeDeviceHostForProxy(machine: In<CGuid>, proxy: Handle, host: Out<Handle>) -> Code {
    let initialize = || {
        let host = host.required().map_err(code)?;
        let machine = machine.get().map_err(code)?.into();
        let socket = connection(proxy).map_err(code)?;
        send_request(socket.as_fd(), machine).map_err(|error| code(error.cause))?;
        let channel = receive_result(socket.as_fd())?;
        DeviceHost::hand_out(channel, host).map_err(|error| code(error.cause))
    };
    initialize().err().unwrap_or(0)
}

#[unsafe(no_mangle)]
extern "C" fn HdvProxyDeviceHost(
    system: Handle,
    device_host: Handle,
    target: u32,
    section: Out<u64>,
) -> Code {
    // Nothing is in it: all goes over the channel.
    section.clear();
    let socket = match connection(device_host) {
        Ok(socket) => socket,
        Err(cause) => return code(cause),
    };
    let made = || -> Result<OwnedFd, hcs::Error> {
        section.required()?;
        let system = table::system(system)?;
        let (machine, sender) = receive_request(socket.as_fd())?;
        check(&system, machine, sender, target)?;
        channel(&system, Some(true))
    };
    match made() {
        Ok(channel) => match send_result(socket.as_fd(), 0, Some(&channel)) {
            Ok(()) => 0,
            Err(error) => code(error.cause),
        },
        Err(error) => {
            // Who is not there any more need not know.
            let _ = send_result(socket.as_fd(), code(error.cause), None);
            code(error.cause)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::net::UnixStream};

    use super::*;

    const MACHINE: Guid = Guid::from_bytes(*b"0123456789abcdef");

    #[test]
    fn a_request_tells_who_has_sent_it_whoever_made_the_socket() {
        let (host, owner) = UnixStream::pair().unwrap();
        send_request(host.as_fd(), MACHINE).unwrap();
        let (machine, sender) = receive_request(owner.as_fd()).unwrap();
        assert_eq!((machine, sender), (MACHINE, std::process::id()));
        assert!(!sockopt::socket_passcred(&owner).unwrap(), "the socket is as it was");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let cause = |said: &[u8]| {
            let (mut host, owner) = UnixStream::pair().unwrap();
            host.write_all(said).unwrap();
            drop(host);
            receive_request(owner.as_fd()).unwrap_err().cause
        };
        assert_eq!(cause(b""), Cause::BrokenPipe);
        assert_eq!(cause(b"HDVPROX1"), Cause::InvalidData);
        assert_eq!(cause(&[7; REQUEST]), Cause::InvalidData);
        // Right to the byte, and from nobody.
        assert_eq!(cause(&request(MACHINE)), Cause::InvalidData);
    }

    #[test]
    fn a_result_is_a_channel_or_a_code() {
        let (host, owner) = UnixStream::pair().unwrap();
        let channel = OwnedFd::from(UnixStream::pair().unwrap().0);
        send_result(owner.as_fd(), 0, Some(&channel)).unwrap();
        receive_result(host.as_fd()).unwrap();
        send_result(owner.as_fd(), 0, None).unwrap();
        assert_eq!(receive_result(host.as_fd()).unwrap_err(), code(Cause::InvalidData));
        // Also one that is in no table.
        send_result(owner.as_fd(), -5, None).unwrap();
        assert_eq!(receive_result(host.as_fd()).unwrap_err(), -5);
        // An owner that goes, with the request or without having read it.
        drop(owner);
        assert_eq!(receive_result(host.as_fd()).unwrap_err(), code(Cause::BrokenPipe));
        let (host, owner) = UnixStream::pair().unwrap();
        send_request(host.as_fd(), MACHINE).unwrap();
        drop(owner);
        assert_eq!(receive_result(host.as_fd()).unwrap_err(), code(Cause::BrokenPipe));
    }
}

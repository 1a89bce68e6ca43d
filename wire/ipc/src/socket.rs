//! Reads and writes on Unix stream sockets that carry file descriptors. Nothing here waits: the three loops
//! (hcsd's, the client library's, the worker's) decide when to try again.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
    time::Duration,
};

use rustix::fs::{Mode, OFlags};
use rustix::net::sockopt::Timeout;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use crate::limits::MAX_FDS_PER_MESSAGE;

/// What one read delivered.
pub struct Received {
    /// How many bytes; 0 means the peer has closed.
    pub length: usize,
    /// The descriptors that came with them.
    pub fds: Vec<OwnedFd>,
}

/// Reads once, into `buffer`.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    // Room for one descriptor more than is allowed: then an excess is seen and refused by the decoder.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS_PER_MESSAGE + 1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(buffer)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    // The kernel says so of more descriptors than there is room for here, and of those that the process may not have.
    if received.flags.contains(ReturnFlags::CTRUNC) && fds.len() <= MAX_FDS_PER_MESSAGE {
        return Err(rustix::io::Errno::MFILE.into());
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too many file descriptors in one message"));
    }
    Ok(Received { length: received.bytes, fds })
}

/// Writes once; returns how many bytes went out. Descriptors go with the first byte.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS_PER_MESSAGE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many file descriptors in one message"));
    }
    let sent = rustix::net::sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    )?;
    Ok(sent)
}

/// Bytes and descriptors on their way out, with what the socket has not taken yet.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: std::collections::VecDeque<Outgoing>,
}

#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

impl Outbox {
    /// Queues a message; the NUL is added here.
    pub fn push(&mut self, mut text: Vec<u8>, fds: Vec<OwnedFd>) {
        text.push(0);
        self.queue.push_back(Outgoing { bytes: text, sent: 0, fds });
    }

    /// Writes what the socket takes. True when everything is out.
    pub fn flush(&mut self, socket: impl AsFd) -> io::Result<bool> {
        while let Some(front) = self.queue.front_mut() {
            let fds: Vec<BorrowedFd<'_>> = front.fds.iter().map(AsFd::as_fd).collect();
            match send(socket.as_fd(), &front.bytes[front.sent..], &fds) {
                Ok(count) => {
                    front.sent += count;
                    if count > 0 {
                        front.fds.clear();
                    }
                    if front.sent == front.bytes.len() {
                        self.queue.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many bytes wait.
    pub fn waiting_bytes(&self) -> usize {
        self.queue.iter().map(|outgoing| outgoing.bytes.len() - outgoing.sent).sum()
    }
}

/// The longest path that a socket address takes.
const LONGEST_PATH: usize = 100;

/// Calls `with` with an address of the socket at `path`. A path that is too long for an address is reached
/// through a descriptor of its folder.
fn with_address<T>(path: &Path, with: impl FnOnce(&SocketAddrUnix) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= LONGEST_PATH {
        return with(&SocketAddrUnix::new(path)?);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    with(&SocketAddrUnix::new(&short)?)
}

/// How long [`connect`] waits for a peer that does not accept.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to a Unix socket; the result does not block on reads and writes by these functions. Fails with `WouldBlock`
/// where the peer has not accepted others before us for ten seconds.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    connect_with(path, SocketFlags::CLOEXEC)
}

/// Connects, and fails with `WouldBlock` where [`connect`] would wait.
pub fn connect_at_once(path: &Path) -> io::Result<OwnedFd> {
    connect_with(path, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

/// Whether somebody listens there, also one who does not accept at this moment.
pub fn is_listened_at(path: &Path) -> bool {
    match connect_at_once(path) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

fn connect_with(path: &Path, flags: SocketFlags) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    if !flags.contains(SocketFlags::NONBLOCK) {
        // Of a Unix socket this is also the limit of a connect; what is sent later waits for nothing.
        rustix::net::sockopt::set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
    }
    with_address(path, |address| Ok(rustix::net::connect(&socket, address)?))?;
    Ok(socket)
}

/// Binds and listens, for this user alone: the caller gives others a right to the new socket if they are to have one.
/// The caller has removed a stale socket file.
pub fn listen(path: &Path, backlog: i32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Its file begins with the mode of the socket, so nobody else can connect at any moment, whatever the umask is.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    with_address(path, |address| Ok(rustix::net::bind(&socket, address)?))?;
    rustix::net::listen(&socket, backlog)?;
    Ok(socket)
}

/// Who is at the other end of a connected socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Process id at the time of connect.
    pub pid: i32,
    /// Effective user id at the time of connect.
    pub uid: u32,
    /// Effective group id at the time of connect.
    pub gid: u32,
}

/// Asks the kernel who connected.
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let credentials = rustix::net::sockopt::socket_peercred(socket)?;
    Ok(Peer {
        pid: credentials.pid.as_raw_nonzero().get(),
        uid: credentials.uid.as_raw(),
        gid: credentials.gid.as_raw(),
    })
}

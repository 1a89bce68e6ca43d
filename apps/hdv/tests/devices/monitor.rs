//! A monitor, byte by byte as the protocol says, so that nothing of it is shared with what it tests.

use std::{
    io::{IoSlice, Read},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
};

use rustix::{
    fs::{MemfdFlags, SealFlags},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags},
};

pub const COMMAND: u32 = 0;
pub const NO_REPLY: u32 = 0x10;

pub struct Monitor {
    pub stream: UnixStream,
    next: u16,
}

/// What came.
#[derive(Debug)]
pub struct Came {
    pub id: u16,
    pub command: u16,
    pub flags: u32,
    pub errno: u32,
    pub body: Vec<u8>,
}

impl Monitor {
    /// One that has not spoken.
    pub fn silent(path: &Path) -> Monitor {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        Monitor { stream, next: 100 }
    }

    /// One that has greeted.
    pub fn greeted(path: &Path) -> Monitor {
        let mut monitor = Monitor::silent(path);
        let came = monitor.ask(1, b"\0\0\0\0{\"capabilities\":{\"max_msg_fds\":8}}\0");
        assert_eq!(&came.body[..4], [0; 4]);
        assert_eq!(came.body.last(), Some(&0));
        monitor
    }

    pub fn send(&mut self, command: u16, flags: u32, body: &[u8], fds: &[BorrowedFd<'_>]) -> u16 {
        self.next = self.next.wrapping_add(1);
        let mut bytes = self.next.to_le_bytes().to_vec();
        bytes.extend(command.to_le_bytes());
        bytes.extend((16 + body.len() as u32).to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        self.raw(&bytes, fds);
        self.next
    }

    pub fn raw(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
        }
        let mut sent =
            rustix::net::sendmsg(&self.stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
                .unwrap();
        while sent < bytes.len() {
            sent += rustix::net::send(&self.stream, &bytes[sent..], SendFlags::NOSIGNAL).unwrap();
        }
    }

    pub fn receive(&mut self) -> std::io::Result<Came> {
        let mut header = [0; 16];
        self.stream.read_exact(&mut header)?;
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        let mut body = vec![0; number(4) as usize - 16];
        self.stream.read_exact(&mut body)?;
        let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        Ok(Came { id: half(0), command: half(2), flags: number(8), errno: number(12), body })
    }

    /// Asks, and takes the answer.
    pub fn ask(&mut self, command: u16, body: &[u8]) -> Came {
        let id = self.send(command, COMMAND, body, &[]);
        let came = self.receive().unwrap();
        assert_eq!((came.id, came.command, came.flags & 0xf), (id, command, 1), "{came:?}");
        came
    }

    pub fn read(&mut self, region: u32, offset: u64, length: u32) -> Vec<u8> {
        let came = self.ask(9, &access(region, offset, length, &[]));
        assert_eq!(came.errno, 0);
        assert_eq!(came.body[..16], access(region, offset, length, &[]));
        came.body[16..].to_vec()
    }

    pub fn write(&mut self, region: u32, offset: u64, data: &[u8]) {
        let came = self.ask(10, &access(region, offset, data.len() as u32, data));
        assert_eq!((came.errno, came.body.len()), (0, 16));
    }

    /// Gives the device memory.
    pub fn map(&mut self, address: u64, length: u64, file: Option<BorrowedFd<'_>>) -> u32 {
        let mut body = [32u32.to_le_bytes(), 3u32.to_le_bytes()].concat();
        [0, address, length].iter().for_each(|number| body.extend(number.to_le_bytes()));
        let fds: Vec<_> = file.into_iter().collect();
        let id = self.send(2, COMMAND, &body, &fds);
        let came = self.receive().unwrap();
        assert_eq!(came.id, id);
        came.errno
    }

    pub fn unmap(&mut self, address: u64, length: u64) -> u32 {
        let mut body = [24u32.to_le_bytes(), 0u32.to_le_bytes()].concat();
        [address, length].iter().for_each(|number| body.extend(number.to_le_bytes()));
        self.ask(3, &body).errno
    }

    /// Whether it was hung up on.
    pub fn is_hung_up(&mut self) -> bool {
        loop {
            match self.receive() {
                Ok(_) => {}
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
    }
}

pub fn access(region: u32, offset: u64, length: u32, data: &[u8]) -> Vec<u8> {
    let mut body = offset.to_le_bytes().to_vec();
    body.extend(region.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(data);
    body
}

/// Memory that does not shrink.
pub fn memory(length: u64) -> OwnedFd {
    let file = rustix::fs::memfd_create("memory", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&file, length).unwrap();
    rustix::fs::fcntl_add_seals(file.as_fd(), SealFlags::SHRINK).unwrap();
    file
}

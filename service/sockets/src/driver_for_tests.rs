//! A QEMU and the driver in its guest, for tests: real memory, real rings, real sockets.

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::PathBuf,
    thread::JoinHandle,
};

use hcs_memory::Mapping;
use hcs_vhost::packet::{self, HOST, Header, STREAM, operation};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    fs::MemfdFlags,
    io::Errno,
    net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType},
};

use crate::{
    device::{FROM_GUEST, GUEST, TO_GUEST},
    server::Server,
    table::Table,
};

/// Where the memory is, for the guest and for QEMU, and how long it is.
const MEMORY: u64 = 0x10_0000;
const USER: u64 = 0x7f00_0000_0000;
const LENGTH: usize = 8 << 20;

const PLACES: u16 = 64;
/// Where a ring begins in the memory: descriptors, and behind them what is given and what is given back.
const RINGS: [u64; 2] = [0, 0x4000];
const AVAILABLE: u64 = 0x1000;
const USED: u64 = 0x2000;
/// Where buffers are, and how long one is: a packet to the guest; and a packet from it.
const BUFFERS: [u64; 2] = [0x10_0000, 0x20_0000];
const BUFFER: u64 = 0x1_0000;
const TO_GUEST_BUFFER: u32 = 4096;

/// It.
pub struct Driver {
    pub folder: PathBuf,
    qemu: OwnedFd,
    memory: Mapping,
    file: OwnedFd,
    kicks: Vec<OwnedFd>,
    call: OwnedFd,
    /// How much was given, and how much of it was looked at when it came back.
    given: [u16; 2],
    seen: u16,
    has_memory: bool,
    server: Option<JoinHandle<Result<(), Errno>>>,
}

/// The memory, as it comes and goes.
pub const PART: [u64; 5] = [0, MEMORY, LENGTH as u64, USER, 0];

/// Numbers as QEMU says them.
pub fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn bell() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()
}

impl Driver {
    /// One that has started.
    pub fn start(name: &str) -> Driver {
        let mut driver = Driver::new(name);
        driver.begin([0, 0]);
        driver
    }

    /// One that has not.
    pub fn new(name: &str) -> Driver {
        let folder = std::env::temp_dir().join(format!("hcs-sockets-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let (qemu, own) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        let file = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, LENGTH as u64).unwrap();
        let memory = Mapping::beginning(&file, LENGTH).unwrap();
        let table = Table::at(&folder).unwrap();
        let server = std::thread::spawn(move || Server::new(own, table).run());
        let kicks = vec![bell(), bell()];
        Driver {
            folder,
            qemu,
            memory,
            file,
            kicks,
            call: bell(),
            given: [0; 2],
            seen: 0,
            has_memory: false,
            server: Some(server),
        }
    }

    fn ask(&self, kind: u32, body: &[u8], files: &[BorrowedFd<'_>]) {
        let mut message = [kind, 1 | 1 << 3, body.len() as u32].map(u32::to_le_bytes).concat();
        message.extend_from_slice(body);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(files)));
        }
        let slices = [IoSlice::new(&message)];
        rustix::net::sendmsg(&self.qemu, &slices, &mut control, SendFlags::NOSIGNAL).unwrap();
    }

    fn answer(&self) -> Vec<u8> {
        let mut header = [0; 12];
        self.read(&mut header);
        let mut body = vec![0; u32::from_le_bytes(header[8..].try_into().unwrap()) as usize];
        self.read(&mut body);
        body
    }

    fn read(&self, mut place: &mut [u8]) {
        while !place.is_empty() {
            let length = rustix::io::read(&self.qemu, &mut *place).unwrap();
            assert!(length > 0, "the server is gone");
            place = &mut place[length..];
        }
    }

    /// Asks something that has no answer but that it is done; whether it is.
    pub fn tell(&self, kind: u32, body: &[u8], files: &[BorrowedFd<'_>]) -> bool {
        self.ask(kind, body, files);
        self.answer() == 0_u64.to_le_bytes()
    }

    /// The memory as it is said at once.
    pub fn tell_memory(&self) -> bool {
        self.tell(5, &words(&[1, MEMORY, LENGTH as u64, USER, 0]), &[self.file.as_fd()])
    }

    /// Asks something.
    pub fn get(&self, kind: u32, body: &[u8]) -> Vec<u8> {
        self.ask(kind, body, &[]);
        self.answer()
    }

    /// The driver begins, or goes on from there: everything that a QEMU says then.
    pub fn begin(&mut self, bases: [u16; 2]) {
        if !std::mem::replace(&mut self.has_memory, true) {
            assert!(self.tell(37, &words(&PART), &[self.file.as_fd()]));
        }
        if bases == [0, 0] {
            (self.given, self.seen) = ([0; 2], 0);
            for ring in RINGS {
                self.memory.write(ring + AVAILABLE, &[0; 4]);
                self.memory.write(ring + USED, &[0; 4]);
            }
        }
        for ring in [TO_GUEST, FROM_GUEST] {
            let number = ring as u64;
            let place = |offset| USER + RINGS[ring] + offset;
            assert!(self.tell(8, &words(&[u64::from(PLACES) << 32 | number]), &[]));
            assert!(self.tell(10, &words(&[u64::from(bases[ring]) << 32 | number]), &[]));
            assert!(self.tell(9, &words(&[number, place(0), place(USED), place(AVAILABLE), 0]), &[]));
            assert!(self.tell(12, &words(&[number]), &[self.kicks[ring].as_fd()]));
            assert!(self.tell(13, &words(&[number]), &[self.call.as_fd()]));
            assert!(self.tell(18, &words(&[1 << 32 | number]), &[]));
        }
        if self.given[TO_GUEST] == 0 {
            (0..PLACES).for_each(|place| self.give_room(place));
        }
    }

    /// The machine stands still, or the driver ends; from where it could go on.
    pub fn stop(&mut self) -> [u16; 2] {
        [TO_GUEST, FROM_GUEST].map(|ring| {
            let answer = self.get(11, &(ring as u64).to_le_bytes());
            u16::from_le_bytes([answer[4], answer[5]])
        })
    }

    fn describe(&self, ring: usize, place: u16, (address, length): (u64, u32), flags: u16, next: u16) {
        let mut descriptor = address.to_le_bytes().to_vec();
        descriptor.extend_from_slice(&length.to_le_bytes());
        descriptor.extend_from_slice(&flags.to_le_bytes());
        descriptor.extend_from_slice(&next.to_le_bytes());
        assert!(self.memory.write(RINGS[ring] + 16 * u64::from(place), &descriptor));
    }

    fn give(&mut self, ring: usize, head: u16) {
        let slot = u64::from(self.given[ring] % PLACES);
        self.given[ring] = self.given[ring].wrapping_add(1);
        assert!(self.memory.write(RINGS[ring] + AVAILABLE + 4 + 2 * slot, &head.to_le_bytes()));
        assert!(self.memory.write(RINGS[ring] + AVAILABLE + 2, &self.given[ring].to_le_bytes()));
    }

    fn kick(&self, ring: usize) {
        rustix::io::write(&self.kicks[ring], &1_u64.to_ne_bytes()).unwrap();
    }

    fn give_room(&mut self, place: u16) {
        let address = MEMORY + BUFFERS[TO_GUEST] + BUFFER / 16 * u64::from(place);
        self.describe(TO_GUEST, place, (address, TO_GUEST_BUFFER), 2, 0);
        self.give(TO_GUEST, place);
        self.kick(TO_GUEST);
    }

    fn used(&self, ring: usize) -> u16 {
        let mut used = [0; 2];
        assert!(self.memory.read(RINGS[ring] + USED + 2, &mut used));
        u16::from_le_bytes(used)
    }

    /// Waits for the bell until something holds.
    fn until(&self, what: &str, holds: impl Fn(&Driver) -> bool) {
        while !holds(self) {
            let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
            let mut polled = [PollFd::new(&self.call, PollFlags::IN)];
            assert!(poll(&mut polled, Some(&patience)).unwrap() > 0, "{what}: nothing comes");
            let _ = rustix::io::read(&self.call, &mut [0; 8]);
        }
    }

    /// Says a packet, in a header and a buffer of its own for the bytes.
    pub fn say(&mut self, header: &Header, data: &[u8]) {
        let place = self.given[FROM_GUEST] % 16 * 2;
        let address = BUFFERS[FROM_GUEST] + BUFFER * u64::from(place);
        assert!(self.memory.write(address, &header.bytes()));
        assert!(self.memory.write(address + 64, data));
        let (more, length) = (u16::from(!data.is_empty()), packet::HEADER as u32);
        self.describe(FROM_GUEST, place, (MEMORY + address, length), more, place + 1);
        self.describe(FROM_GUEST, place + 1, (MEMORY + address + 64, data.len() as u32), 0, 0);
        self.give(FROM_GUEST, place);
        self.kick(FROM_GUEST);
    }

    /// Says this packet so many times, each in one buffer, and tells of all of them at once.
    pub fn say_at_once(&mut self, header: &Header, times: u16) {
        let address = BUFFERS[FROM_GUEST];
        assert!(self.memory.write(address, &header.bytes()));
        for place in 0..times {
            self.describe(FROM_GUEST, place, (MEMORY + address, packet::HEADER as u32), 0, 0);
            self.give(FROM_GUEST, place);
        }
        self.kick(FROM_GUEST);
    }

    /// Waits until everything was taken that was said.
    pub fn is_heard(&self) {
        self.until("what was said is taken", |driver| driver.used(FROM_GUEST) == driver.given[FROM_GUEST]);
    }

    /// The next packet for the guest.
    pub fn hear(&mut self) -> (Header, Vec<u8>) {
        self.until("a packet", |driver| driver.used(TO_GUEST) != driver.seen);
        let slot = u64::from(self.seen % PLACES);
        self.seen = self.seen.wrapping_add(1);
        let mut entry = [0; 8];
        assert!(self.memory.read(RINGS[TO_GUEST] + USED + 4 + 8 * slot, &mut entry));
        let place = u16::from_le_bytes([entry[0], entry[1]]);
        let length = u32::from_le_bytes(entry[4..].try_into().unwrap()) as usize;
        let mut packet = vec![0; length];
        assert!(self.memory.read(BUFFERS[TO_GUEST] + BUFFER / 16 * u64::from(place), &mut packet));
        self.give_room(place);
        let header = Header::read(packet[..packet::HEADER].try_into().unwrap());
        assert_eq!(header.length as usize, length - packet::HEADER);
        (header, packet.split_off(packet::HEADER))
    }

    /// The same, which is for this.
    pub fn hear_of(&mut self, operation: u16) -> (Header, Vec<u8>) {
        let (header, data) = self.hear();
        assert_eq!(header.operation, operation, "{header:?}");
        (header, data)
    }

    /// A packet of the guest's between these ports.
    pub fn packet(host: u32, guest: u32, operation: u16, length: usize) -> Header {
        Header {
            source: GUEST,
            target: HOST,
            source_port: guest,
            target_port: host,
            length: length as u32,
            kind: STREAM,
            operation,
            flags: 0,
            room: 1 << 18,
            used: 0,
        }
    }

    /// QEMU ends.
    pub fn hang_up(&self) {
        rustix::net::shutdown(&self.qemu, rustix::net::Shutdown::Both).unwrap();
    }

    /// Who listens at a port of the host.
    pub fn listen(&self, port: u32) -> UnixListener {
        UnixListener::bind(self.folder.join(format!("connect_{port}"))).unwrap()
    }

    /// The same, by whom only so many and one may be waiting.
    pub fn listen_for(&self, port: u32, waiting: i32) -> OwnedFd {
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let path = self.folder.join(format!("connect_{port}"));
        rustix::net::bind(&socket, &rustix::net::SocketAddrUnix::new(path).unwrap()).unwrap();
        rustix::net::listen(&socket, waiting).unwrap();
        socket
    }

    /// A connection that the guest has called for, and its other end.
    pub fn connected(&mut self, host: u32, guest: u32) -> std::os::unix::net::UnixStream {
        let listener = self.listen(host);
        self.say(&Driver::packet(host, guest, operation::REQUEST, 0), &[]);
        let (header, _) = self.hear_of(operation::RESPONSE);
        assert_eq!((header.source_port, header.target_port, header.target), (host, guest, GUEST));
        let stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        stream
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.hang_up();
        let ended = self.server.take().map(JoinHandle::join);
        let _ = std::fs::remove_dir_all(&self.folder);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(Ok(())))), "it ends with its QEMU, and not otherwise");
        }
    }
}

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
};

use hcs_p9::{Frames, NO_FID, Names, Reply, Request, Text, VERSION};

use super::*;
use crate::{guest_for_tests::Shares, session};

/// A server and somebody who mounts.
struct Conversation {
    server: Server,
    guest: UnixStream,
    frames: Frames,
}

const SHORT: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

impl Conversation {
    fn new(shares: &Shares) -> Conversation {
        let socket = shares.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let guest = UnixStream::connect(&socket).unwrap();
        guest.set_nonblocking(true).unwrap();
        let mut server = Server::new(listener.into(), Place::of_folder(shares.path()).unwrap()).unwrap();
        server.turn(Some(SHORT)).unwrap();
        assert_eq!(server.connections.len(), 1);
        Conversation { server, guest, frames: Frames::new(session::MOST) }
    }

    fn say(&mut self, bytes: &[u8]) {
        let mut said = 0;
        while said < bytes.len() {
            match self.guest.write(&bytes[said..]) {
                Ok(length) => said += length,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.server.turn(Some(SHORT)).unwrap();
                    self.hear();
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Takes what has been answered.
    fn hear(&mut self) {
        let mut buffer = [0; 1 << 16];
        while let Ok(length @ 1..) = self.guest.read(&mut buffer) {
            self.frames.push(&buffer[..length]);
        }
    }

    /// The kinds of so many answers, in order.
    fn answers(&mut self, count: usize) -> Vec<(u16, u8)> {
        let mut found = Vec::new();
        while found.len() < count {
            self.hear();
            while let Some(message) = self.frames.take().unwrap() {
                found.push((message.tag, message.kind));
            }
            if found.len() < count {
                self.server.turn(Some(SHORT)).unwrap();
            }
        }
        found
    }

    fn begin(&mut self) {
        let mut hello = Vec::new();
        Request::Version { msize: session::MOST, version: Text(VERSION) }.put(u16::MAX, &mut hello);
        let uid = rustix::process::geteuid().as_raw();
        Request::Attach { fid: 0, afid: NO_FID, user: Text(b""), name: Text(b"share"), uid }
            .put(1, &mut hello);
        self.say(&hello);
        assert_eq!(self.answers(2), [(u16::MAX, 101), (1, 105)]);
    }
}

/// So many requests: to open the file, and to read its beginning again and again.
fn requests(number: u16) -> Vec<u8> {
    let mut requests = Vec::new();
    Request::Walk { fid: 0, new_fid: 1, names: Names(vec![b"file"]) }.put(0, &mut requests);
    Request::Lopen { fid: 1, flags: 0 }.put(1, &mut requests);
    for tag in 2..number {
        Request::Read { fid: 1, offset: 0, count: 60_000 }.put(tag, &mut requests);
    }
    requests
}

#[test]
fn requests_are_answered_in_order_however_many_are_said_ahead() {
    let shares = Shares::new("ahead");
    fs::write(shares.inside("file"), vec![7; 1 << 20]).unwrap();
    let mut conversation = Conversation::new(&shares);
    conversation.begin();
    let requests = requests(100);
    conversation.say(&requests);
    let answers = conversation.answers(100);
    assert!(answers.iter().map(|(tag, _)| *tag).eq(0..100));
    assert!(answers[2..].iter().all(|(_, kind)| *kind == 117));
}

#[test]
fn who_does_not_read_is_not_answered_for_ever() {
    let shares = Shares::new("unread");
    fs::write(shares.inside("file"), vec![7; 1 << 20]).unwrap();
    let mut conversation = Conversation::new(&shares);
    conversation.begin();
    let requests = requests(1000);
    // 60 MB of answers.
    conversation.guest.write_all(&requests).unwrap();
    let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
    for _ in 0..100 {
        conversation.server.turn(Some(nothing)).unwrap();
    }
    assert!(conversation.server.connections[0].unsent() <= 2 << 20);
    assert_eq!(conversation.answers(1000).len(), 1000);
}

#[test]
fn what_is_no_message_ends_the_conversation_and_no_other() {
    let shares = Shares::new("ends");
    let mut conversation = Conversation::new(&shares);
    conversation.begin();
    let mut other = UnixStream::connect(shares.path().join("socket")).unwrap();
    conversation.server.turn(Some(SHORT)).unwrap();
    assert_eq!(conversation.server.connections.len(), 2);
    // Nobody has agreed to so much, and least of all before anything was agreed to.
    other.write_all(&(1u32 << 30).to_le_bytes()).unwrap();
    conversation.server.turn(Some(SHORT)).unwrap();
    assert_eq!(conversation.server.connections.len(), 1);
    assert!(matches!(other.read(&mut [0; 1]), Ok(0) | Err(_)));
    let mut request = Vec::new();
    Request::Clunk { fid: 0 }.put(3, &mut request);
    conversation.say(&request);
    assert_eq!(conversation.answers(1), [(3, 121)]);
    drop(conversation.guest);
    conversation.server.turn(Some(SHORT)).unwrap();
    assert!(conversation.server.connections.is_empty());
}

#[test]
fn a_guest_has_so_many_mounts_and_no_more() {
    let shares = Shares::new("many");
    let mut conversation = Conversation::new(&shares);
    let mut guests = Vec::new();
    for count in 2..=MOST {
        guests.push(UnixStream::connect(shares.path().join("socket")).unwrap());
        conversation.server.turn(Some(SHORT)).unwrap();
        assert_eq!(conversation.server.connections.len(), count);
    }
    guests.push(UnixStream::connect(shares.path().join("socket")).unwrap());
    conversation.server.turn(Some(Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
    assert_eq!(conversation.server.connections.len(), MOST);
    // The next who goes makes room.
    guests.remove(0);
    conversation.server.turn(Some(SHORT)).unwrap();
    conversation.server.turn(Some(SHORT)).unwrap();
    assert_eq!(conversation.server.connections.len(), MOST);
}

/// The filter is that of a thread, so it is tried in one.
#[test]
fn all_that_a_guest_can_ask_needs_no_other_system_call() {
    use hcs_p9::{REMOVE_FOLDER, set};
    use rustix::net::{AddressFamily, SocketType};

    let shares = Shares::new("filter");
    let gid = rustix::process::getegid().as_raw();
    let (name, again) = (Text(b"name"), Text(b"again"));
    let requests = [
        Request::Mkdir { fid: 0, name, mode: 0o755, gid },
        Request::Walk { fid: 0, new_fid: 1, names: Names(vec![b"name"]) },
        Request::Walk { fid: 1, new_fid: 2, names: Names(Vec::new()) },
        Request::Lcreate { fid: 2, name, flags: 2, mode: 0o644, gid },
        Request::Write { fid: 2, offset: 0, data: b"text" },
        Request::Read { fid: 2, offset: 0, count: 4 },
        Request::Fsync { fid: 2, data_only: 0 },
        Request::Fsync { fid: 2, data_only: 1 },
        Request::Getattr { fid: 2, mask: 0 },
        Request::Setattr {
            fid: 2,
            valid: set::MODE | set::GROUP | set::SIZE | set::ACCESSED,
            mode: 0o600,
            uid: 0,
            gid,
            size: 1,
            accessed: [0; 2],
            modified: [0; 2],
        },
        Request::Statfs { fid: 2 },
        Request::Link { folder: 1, fid: 2, name: again },
        Request::Renameat { from: 1, old: again, to: 0, new: again },
        Request::Unlinkat { fid: 0, name: again, flags: 0 },
        Request::Symlink { fid: 0, name: again, target: name, gid },
        Request::Walk { fid: 0, new_fid: 3, names: Names(vec![b"again"]) },
        Request::Readlink { fid: 3 },
        Request::Mknod { fid: 1, name: again, mode: 0o010644, major: 0, minor: 0, gid },
        Request::Walk { fid: 1, new_fid: 4, names: Names(Vec::new()) },
        Request::Lopen { fid: 4, flags: 0 },
        Request::Readdir { fid: 4, offset: 0, count: 4096 },
        Request::Unlinkat { fid: 1, name: again, flags: 0 },
        Request::Unlinkat { fid: 1, name, flags: 0 },
        Request::Unlinkat { fid: 0, name, flags: REMOVE_FOLDER },
        Request::Clunk { fid: 1 },
    ];
    let mut said = Vec::new();
    for (tag, request) in requests.iter().enumerate() {
        request.put(tag as u16, &mut said);
    }
    let folder = shares.path().to_owned();
    let served = std::thread::spawn(move || {
        let mut hello = Vec::new();
        Request::Version { msize: session::MOST, version: Text(VERSION) }.put(u16::MAX, &mut hello);
        let uid = rustix::process::geteuid().as_raw();
        Request::Attach { fid: 0, afid: NO_FID, user: Text(b""), name: Text(b"share"), uid }
            .put(1, &mut hello);
        let mut session = session::Session::new(Rc::new(Place::of_folder(&folder).unwrap()));
        rustix::thread::set_no_new_privs(true).unwrap();
        crate::filter::enter().unwrap();
        let (mut frames, mut replies) = (Frames::new(session::MOST), Vec::new());
        frames.push(&[hello, said].concat());
        while let Some(message) = frames.take().unwrap() {
            session.answer(&message, &mut replies);
        }
        (replies, rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).map(drop))
    });
    let (replies, socket) = served.join().unwrap();
    assert_eq!(socket, Err(Errno::PERM));
    let mut frames = Frames::new(session::MOST);
    frames.push(&replies);
    let mut count = 0;
    while let Some(message) = frames.take().unwrap() {
        let reply = Reply::read(message.kind, message.body).unwrap();
        assert!(!matches!(reply, Reply::Error { .. }), "{}: {reply:?}", message.tag);
        count += 1;
    }
    assert_eq!(count, requests.len() + 2);
}

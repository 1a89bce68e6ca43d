use std::{
    io::{ErrorKind, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    path::PathBuf,
    time::Duration,
};

use rustix::pipe::PipeFlags;

use super::{super::turn, *};

/// A folder of sockets, and the host who has it.
struct Machine {
    folder: PathBuf,
    host: Sockets,
}

impl Machine {
    fn new(name: &str) -> Machine {
        let folder = std::env::temp_dir().join(format!("hcs-sockets-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Machine { host: Sockets::host(&folder).unwrap(), folder }
    }

    /// As the carrier does it for a guest.
    fn call(&self, port: u32) -> std::io::Result<UnixStream> {
        let called = UnixStream::connect(self.folder.join(format!("connect_{port}")))?;
        called.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(called)
    }

    fn guest(&self) -> Sockets {
        let folder = self.folder.clone();
        Sockets::guest(Box::new(move |port| {
            let called = UnixStream::connect(folder.join(format!("connect_{port}")));
            called.map(OwnedFd::from).map_err(|_| Errno::CONNRESET)
        }))
    }

    /// A stream that somebody has called for.
    fn wanted(&mut self, port: u32) -> Stream {
        turn(&mut self.host);
        match self.host.next_told() {
            Some(Told::Happened(Event::Wanted(stream, found))) if found == port => stream,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.host.close();
        std::fs::remove_dir(&self.folder).expect("nothing is left in the folder");
    }
}

/// A pipe of a mebibyte that nobody waits for.
fn pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
    rustix::pipe::fcntl_setpipe_size(&write, 1 << 20).unwrap();
    (read, write)
}

/// Fills it, and says with how much.
fn fill(pipe: &OwnedFd) -> usize {
    let mut said = 0;
    while let Ok(length) = rustix::io::write(pipe, &[b'x'; 4096]) {
        said += length;
    }
    said
}

/// How much can be read until the end, while both sides go on.
fn drink(pipe: &OwnedFd, one: &mut Sockets, other: &mut Sockets) -> usize {
    let mut taken = 0;
    for _ in 0..100_000 {
        turn(one);
        turn(other);
        match rustix::io::read(pipe, &mut [0; 4096]) {
            Ok(0) => return taken,
            Ok(length) => taken += length,
            Err(_) => {}
        }
    }
    panic!("there is no end after {taken}");
}

#[test]
fn a_stream_that_is_expected_is_carried_in_both_directions_to_its_end() {
    let mut machine = Machine::new("both");
    let mut guest = machine.guest();
    assert_eq!(guest.next_told(), Some(Told::Happened(Event::Begun)));
    assert_eq!(guest.open(7), None, "nobody is expected there");
    for port in [7, 8] {
        machine.host.expect(port).unwrap();
    }
    let (input, output) = (guest.open(7).unwrap(), guest.open(8).unwrap());
    let (process_reads, sink) = pipe();
    let (source, process_says) = pipe();
    guest.join_sink(input, sink);
    guest.join_source(output, source);

    let stdin = machine.host.admit(7).unwrap();
    assert_eq!(machine.host.admit(7), None, "it has come already");
    let stdout = machine.wanted(8);
    let (from_client, client_says) = pipe();
    let (client_reads, to_client) = pipe();
    machine.host.accept_source(stdin, from_client);
    machine.host.accept_sink(stdout, to_client);

    let said = fill(&client_says);
    drop(client_says);
    assert_eq!(drink(&process_reads, &mut machine.host, &mut guest), said);
    let said = fill(&process_says);
    drop(process_says);
    assert_eq!(drink(&client_reads, &mut guest, &mut machine.host), said);
    let parted: Vec<_> = std::iter::from_fn(|| machine.host.next_told()).collect();
    assert_eq!(parted, [Told::Parted(stdin), Told::Parted(stdout)]);
    assert_eq!((machine.host.interest().count(), guest.interest().count()), (0, 0));
}

#[test]
fn what_was_said_before_a_source_is_finished_is_sent_however_slowly_it_is_taken() {
    let mut machine = Machine::new("finish");
    let mut guest = machine.guest();
    machine.host.expect(7).unwrap();
    let (process, sink) = pipe();
    let theirs = guest.open(7).unwrap();
    guest.join_sink(theirs, sink);
    let stream = machine.host.admit(7).unwrap();
    let (source, client) = pipe();
    machine.host.accept_source(stream, source);
    let said = fill(&client);
    machine.host.finish_source(stream).unwrap();
    assert!(machine.host.pipe_of(stream).is_none(), "there is no other end of it any more");
    // The client does not hang up, and what it says from now on counts for nothing.
    let _ = rustix::io::write(&client, b"more");
    assert_eq!(drink(&process, &mut machine.host, &mut guest), said);
}

#[test]
fn a_client_that_reads_nothing_holds_up_who_speaks_until_that_has_ended() {
    let mut machine = Machine::new("deaf");
    machine.host.expect(7).unwrap();
    let mut process = machine.call(7).unwrap();
    process.set_nonblocking(true).unwrap();
    let stream = machine.host.admit(7).unwrap();
    let (client, to_client) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
    machine.host.accept_sink(stream, to_client);
    let mut said = 0;
    for _ in 0..1000 {
        turn(&mut machine.host);
        said += process.write(&[b'x'; 4096]).unwrap_or(0);
    }
    assert_eq!(process.write(b"more").unwrap_err().kind(), ErrorKind::WouldBlock);
    // It has ended: what it has said is here, before it could be lost with the machine.
    machine.host.take_rest(stream);
    (0..100).for_each(|_| turn(&mut machine.host));
    drop(process);
    turn(&mut machine.host);
    let mut taken = 0;
    let mut buffer = [0; 4096];
    loop {
        turn(&mut machine.host);
        match rustix::io::read(&client, &mut buffer).unwrap() {
            0 => break,
            length => taken += length,
        }
    }
    assert_eq!(taken, said);
}

#[test]
fn who_is_refused_finds_the_end_although_nobody_has_read_what_was_said() {
    let mut machine = Machine::new("refused");
    machine.host.listen(7).unwrap();
    let mut called = machine.call(7).unwrap();
    called.write_all(b"hello").unwrap();
    let stream = machine.wanted(7);
    machine.host.reset(stream);
    assert_eq!(called.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_port_is_for_root_and_for_one_who_listens() {
    let mut machine = Machine::new("rights");
    machine.host.listen(7).unwrap();
    let path = machine.folder.join("connect_7");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut another = Sockets::host(&machine.folder).unwrap();
    assert_eq!(another.listen(7).unwrap_err().cause, Cause::InUse);
    // Who could not listen takes nothing away.
    drop(another);
    assert!(path.exists());
    machine.host.expect(8).unwrap();
    machine.host.expect_no_more(8);
    machine.call(8).unwrap_err();
}

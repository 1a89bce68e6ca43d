use std::os::fd::OwnedFd;

use rustix::{
    net::{AddressFamily, SocketFlags, SocketType},
    pipe::PipeFlags,
};

use super::{super::turn, *};

/// Both sides of a port, with a session.
fn port() -> (Port, Port) {
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    let (mut host, mut guest) = (Port::host(ours).unwrap(), Port::guest(theirs).unwrap());
    let is_begun = |told: &Told| matches!(told, Told::Happened(Event::Begun)).then_some(());
    await_told(&mut guest, &mut host, is_begun);
    (host, guest)
}

/// What a side is told that is wanted.
fn await_told<T>(side: &mut Port, other: &mut Port, wanted: impl Fn(&Told) -> Option<T>) -> T {
    for _ in 0..1000 {
        turn(other);
        turn(side);
        while let Some(told) = side.next_told() {
            if let Some(found) = wanted(&told) {
                return found;
            }
        }
    }
    panic!("it is not told")
}

fn large_pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
    rustix::pipe::fcntl_setpipe_size(&write, 1 << 20).unwrap();
    (read, write)
}

#[test]
fn what_was_said_before_a_source_is_finished_is_sent_however_slowly_it_is_taken() {
    let (mut host, mut guest) = port();
    let (source, client) = large_pipe();
    let (process, sink) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
    let theirs = guest.open(7).unwrap();
    guest.join_sink(theirs, sink);
    let wanted = |told: &Told| match told {
        Told::Happened(Event::Wanted(stream, 7)) => Some(*stream),
        _ => None,
    };
    let stream = await_told(&mut host, &mut guest, wanted);
    host.accept_source(stream, source);
    let mut said = 0;
    while let Ok(length) = rustix::io::write(&client, &[b'x'; 4096]) {
        said += length;
    }
    assert!(said > 512 << 10, "more than can be under way: {said}");
    host.finish_source(stream).unwrap();
    assert!(host.pipe_of(stream).is_none(), "there is no other end of it any more");
    // The client does not hang up, and what it says from now on counts for nothing.
    let mut taken = 0;
    for _ in 0..100_000 {
        turn(&mut host);
        turn(&mut guest);
        let _ = rustix::io::write(&client, b"more");
        match rustix::io::read(&process, &mut [0; 4096]) {
            Ok(0) => break,
            Ok(length) => taken += length,
            Err(_) => {}
        }
    }
    assert_eq!(taken, said);
}

/// A worker whose machine has ended may wait long for a service that wants to know it.
#[test]
fn a_port_at_its_end_is_not_waited_for_again() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut carrier = Port::host(ours.into()).unwrap();
    assert_eq!(carrier.interest().count(), 1);
    drop(theirs);
    assert!(carrier.ready(Which::Port).is_err());
    carrier.close();
    assert_eq!(carrier.interest().count(), 0);
}

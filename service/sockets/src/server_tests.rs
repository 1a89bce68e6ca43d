use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    time::Duration,
};

use hcs_core::ready;
use hcs_vhost::packet::{HEARS_NO_MORE, Header, SAYS_NO_MORE, operation};

use rustix::io::Errno;

use crate::driver_for_tests::{Driver, PART, words};

fn packet(operation: u16, length: usize) -> Header {
    Driver::packet(7, 1000, operation, length)
}

fn shutdown(flags: u32) -> Header {
    Header { flags, ..packet(operation::SHUTDOWN, 0) }
}

fn read(stream: &mut UnixStream, length: usize) -> Vec<u8> {
    let mut data = vec![0; length];
    stream.read_exact(&mut data).unwrap();
    data
}

/// Who calls the guest, and says this.
fn caller_of(driver: &Driver, said: &[u8]) -> UnixStream {
    let mut caller = UnixStream::connect(driver.folder.join("connect")).unwrap();
    caller.write_all(said).unwrap();
    caller
}

#[test]
fn qemu_is_told_what_the_device_is() {
    let driver = Driver::new("told");
    assert_eq!(driver.get(1, &[]), (1_u64 << 32 | 1 << 30).to_le_bytes());
    assert_eq!(driver.get(15, &[]), (1_u64 | 1 << 3 | 1 << 9 | 1 << 15).to_le_bytes());
    assert_eq!(driver.get(17, &[]), 3_u64.to_le_bytes());
    let place = [0_u32, 8, 0].map(u32::to_le_bytes).concat();
    assert_eq!(driver.get(24, &place)[12..], 3_u64.to_le_bytes());
    let beyond = [4_u32, 8, 0].map(u32::to_le_bytes).concat();
    assert!(driver.get(24, &beyond).is_empty());
    // What cannot be is refused, and the next is heard.
    assert!(!driver.tell(18, &7_u64.to_le_bytes(), &[]));
    assert!(!driver.tell(9, &[0; 40], &[]));
    assert!(driver.tell(99, &[], &[]));
}

#[test]
fn a_guest_that_calls_a_port_speaks_with_who_listens_there() {
    let mut driver = Driver::start("guest-calls");
    let mut stream = driver.connected(7, 1000);
    driver.say(&packet(operation::DATA, 5), b"hello");
    assert_eq!(read(&mut stream, 5), b"hello");
    stream.write_all(b"good day").unwrap();
    let (header, data) = driver.hear_of(operation::DATA);
    assert_eq!((header.source_port, header.target_port, &data[..]), (7, 1000, &b"good day"[..]));
    // It has used what it was told, and the guest knows.
    assert_eq!(header.used, 5);
    // Each side ends by itself.
    driver.say(&shutdown(SAYS_NO_MORE), &[]);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    stream.write_all(b"more").unwrap();
    assert_eq!(driver.hear_of(operation::DATA).1, b"more");
    stream.shutdown(Shutdown::Write).unwrap();
    // That it hears no more, now that it is closed, may be told for itself.
    let mut flags = 0;
    while flags & HEARS_NO_MORE == 0 {
        flags = driver.hear_of(operation::SHUTDOWN).0.flags;
        assert!(flags & SAYS_NO_MORE != 0);
    }
    driver.say(&shutdown(SAYS_NO_MORE | HEARS_NO_MORE), &[]);
    driver.hear_of(operation::RESET);
}

#[test]
fn where_nobody_listens_the_guest_is_refused() {
    let mut driver = Driver::start("nobody");
    driver.say(&packet(operation::REQUEST, 0), &[]);
    driver.hear_of(operation::RESET);
    // So is what belongs to no connection, and what is no stream.
    driver.say(&packet(operation::DATA, 2), b"hi");
    driver.hear_of(operation::RESET);
    driver.say(&Header { kind: 2, ..packet(operation::REQUEST, 0) }, &[]);
    assert_eq!(driver.hear_of(operation::RESET).0.kind, 2);
    // An end is not answered, and who is somebody else is not heard.
    driver.say(&packet(operation::RESET, 0), &[]);
    driver.say(&Header { kind: 2, ..packet(operation::RESET, 0) }, &[]);
    driver.say(&Header { source: 9, ..packet(operation::REQUEST, 0) }, &[]);
    driver.say(&Header { target: 1, ..packet(operation::REQUEST, 0) }, &[]);
    driver.is_heard();
    let mut stream = driver.connected(7, 1000);
    driver.say(&packet(operation::DATA, 2), b"hi");
    assert_eq!(read(&mut stream, 2), b"hi");
}

#[test]
fn calls_of_the_guest_wait_for_who_has_more_than_he_takes() {
    let mut driver = Driver::start("crowd");
    // One that is taken by nobody fills the place of who is waiting there.
    let listener = driver.listen_for(7, 0);
    let ports: Vec<u32> = (1000..1008).collect();
    for port in &ports {
        driver.say(&Driver::packet(7, *port, operation::REQUEST, 0), &[]);
    }
    driver.is_heard();
    let mut taken = Vec::new();
    for _ in &ports {
        let (header, _) = driver.hear_of(operation::RESPONSE);
        taken.push((header.target_port, rustix::net::accept(&listener).unwrap()));
    }
    taken.sort_by_key(|(port, _)| *port);
    assert_eq!(taken.iter().map(|(port, _)| *port).collect::<Vec<_>>(), ports);
}

#[test]
fn a_guest_that_calls_again_while_its_call_waits_has_one_connection() {
    let mut driver = Driver::start("again");
    let listener = driver.listen_for(7, 0);
    driver.say(&packet(operation::REQUEST, 0), &[]);
    driver.hear_of(operation::RESPONSE);
    // There is room for no other, and who has called gives up and calls once more, as he was.
    let other = |operation, length| Driver::packet(7, 1001, operation, length);
    (0..3).for_each(|_| driver.say(&other(operation::REQUEST, 0), &[]));
    driver.is_heard();
    let _first = rustix::net::accept(&listener).unwrap();
    driver.hear_of(operation::RESPONSE);
    let mut stream = UnixStream::from(rustix::net::accept(&listener).unwrap());
    driver.say(&other(operation::DATA, 2), b"hi");
    assert_eq!(read(&mut stream, 2), b"hi");
    // What is answered to nobody comes behind everything else.
    driver.say(&Driver::packet(8, 1, operation::DATA, 0), &[]);
    assert_eq!(driver.hear_of(operation::RESET).0.source_port, 8);
    ready::set_nonblocking(&listener).unwrap();
    assert_eq!(rustix::net::accept(&listener).unwrap_err(), Errno::AGAIN);
}

#[test]
fn who_says_much_takes_turns_with_the_others() {
    let mut driver = Driver::start("turns");
    let ports: Vec<u32> = (7..12).collect();
    let mut streams: Vec<UnixStream> = ports.iter().map(|port| driver.connected(*port, 1000)).collect();
    let bases = driver.stop();
    for stream in &mut streams {
        stream.set_nonblocking(true).unwrap();
        while stream.write(&[0; 4096]).is_ok() {}
    }
    driver.begin(bases);
    // The first two have all the room that there is at first, and more to say than is said of each here.
    let heard: Vec<u32> = (0..160).map(|_| driver.hear().0.source_port).collect();
    assert!(ports.iter().all(|port| heard.contains(port)), "{heard:?}");
}

#[test]
fn of_many_connections_the_later_ones_have_little_room() {
    let mut driver = Driver::start("many");
    let _listener = driver.listen_for(7, 300);
    let rooms: Vec<u32> = (1000..1300)
        .map(|port| {
            driver.say(&Driver::packet(7, port, operation::REQUEST, 0), &[]);
            driver.hear_of(operation::RESPONSE).0.room
        })
        .collect();
    assert!(rooms[..256].iter().all(|room| *room == 256 << 10));
    assert!(rooms[256..].iter().all(|room| *room == 16 << 10));
}

#[test]
fn what_a_guest_has_said_before_its_machine_ended_is_passed_on() {
    let mut driver = Driver::start("ended");
    let mut stream = driver.connected(7, 1000);
    let (said, taken) = fill(&mut driver);
    assert!(said > taken as usize);
    driver.hang_up();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), said);
}

#[test]
fn who_calls_the_guest_has_the_port_that_he_names() {
    let mut driver = Driver::start("host-calls");
    let mut caller = UnixStream::connect(driver.folder.join("connect")).unwrap();
    caller.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    caller.write_all(b"CONNECT 5000\nhello").unwrap();
    let (request, _) = driver.hear_of(operation::REQUEST);
    assert_eq!(request.target_port, 5000);
    let answer = |operation, length| Driver::packet(request.source_port, 5000, operation, length);
    driver.say(&answer(operation::RESPONSE, 0), &[]);
    let ok = format!("OK {}\n", request.source_port);
    assert_eq!(read(&mut caller, ok.len()), ok.as_bytes());
    assert_eq!(driver.hear_of(operation::DATA).1, b"hello");
    driver.say(&answer(operation::DATA, 5), b"hallo");
    assert_eq!(read(&mut caller, 5), b"hallo");
    drop(caller);
    let (header, _) = driver.hear_of(operation::SHUTDOWN);
    assert_eq!(header.flags, SAYS_NO_MORE | HEARS_NO_MORE);
    driver.say(&answer(operation::RESET, 0), &[]);
    // One who is refused finds the end, and so does one who says nothing that can be.
    let mut refused = caller_of(&driver, b"connect 5001\n");
    let (request, _) = driver.hear_of(operation::REQUEST);
    driver.say(&Driver::packet(request.source_port, 5001, operation::RESET, 0), &[]);
    assert_eq!(refused.read(&mut [0]).unwrap(), 0);
    let mut other = caller_of(&driver, b"hello\n");
    assert_eq!(other.read(&mut [0]).unwrap(), 0);
    // Of one who goes before he has it, the guest is told.
    let impatient = UnixStream::connect(driver.folder.join("connect")).unwrap();
    (&impatient).write_all(b"connect 5002\n").unwrap();
    driver.hear_of(operation::REQUEST);
    drop(impatient);
    driver.hear_of(operation::RESET);
}

#[test]
fn memory_comes_at_once_or_in_parts_and_goes() {
    let driver = Driver::new("memory");
    let places = words(&[0, PART[3], PART[3] + 4096, PART[3] + 8192, 0]);
    assert!(u64::from_le_bytes(driver.get(36, &[]).try_into().unwrap()) > 8);
    assert!(!driver.tell(9, &places, &[]));
    assert!(driver.tell_memory());
    assert!(driver.tell(9, &places, &[]));
    assert!(driver.tell(38, &words(&PART), &[]));
    assert!(!driver.tell(9, &places, &[]));
    assert!(!driver.tell(37, &words(&PART), &[]), "a part without a descriptor");
}

#[test]
fn who_says_no_more_and_then_goes_is_told_of_both_times() {
    let mut driver = Driver::start("goes");
    let stream = driver.connected(7, 1000);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(driver.hear_of(operation::SHUTDOWN).0.flags, SAYS_NO_MORE);
    drop(stream);
    assert_eq!(driver.hear_of(operation::SHUTDOWN).0.flags, SAYS_NO_MORE | HEARS_NO_MORE);
}

#[test]
fn there_is_one_socket_for_callers_though_one_was_left_there() {
    let mut driver = Driver::start("left");
    let table = crate::table::Table::at(&driver.folder).unwrap();
    drop(table);
    // The new one has taken its place.
    UnixStream::connect(driver.folder.join("connect")).unwrap_err();
    driver.connected(7, 1000);
}

#[test]
fn who_calls_while_a_machine_begins_to_go_on_is_not_sent_away() {
    let mut driver = Driver::start("goes-on");
    let bases = driver.stop();
    assert!(driver.tell(10, &words(&[u64::from(bases[0]) << 32]), &[]));
    let _caller = caller_of(&driver, b"CONNECT 5000\n");
    // Each is a turn of the server's, in which it lets him in, and hears him.
    (0..8).for_each(|_| assert!(driver.tell(99, &[], &[])));
    driver.begin(bases);
    assert_eq!(driver.hear_of(operation::REQUEST).0.target_port, 5000);
}

#[test]
fn who_calls_before_there_is_a_driver_finds_the_end() {
    let driver = Driver::new("early");
    let mut caller = caller_of(&driver, b"CONNECT 5000\n");
    assert_eq!(caller.read(&mut [0]).unwrap(), 0);
}

#[test]
fn what_a_guest_has_said_arrives_though_it_has_closed_and_nobody_reads_yet() {
    let mut driver = Driver::start("closed");
    let mut stream = driver.connected(7, 1000);
    let piece: Vec<u8> = (0..32_000_u32).map(|number| number as u8).collect();
    // More than a socket takes.
    let pieces = 14;
    for _ in 0..pieces {
        driver.say(&packet(operation::DATA, piece.len()), &piece);
    }
    driver.say(&shutdown(SAYS_NO_MORE | HEARS_NO_MORE), &[]);
    let last = loop {
        let (header, _) = driver.hear();
        if header.operation != operation::CREDIT {
            break header.operation;
        }
    };
    assert_eq!(last, operation::RESET);
    // The ports are free again, also for one who is read at once.
    std::fs::remove_file(driver.folder.join("connect_7")).unwrap();
    let mut other = driver.connected(7, 1000);
    driver.say(&packet(operation::DATA, 2), b"hi");
    assert_eq!(read(&mut other, 2), b"hi");
    for _ in 0..pieces {
        assert_eq!(read(&mut stream, piece.len()), piece);
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

const PIECE: usize = 60_000;

/// How much of what the guest has said was used, as it is told.
fn used(driver: &mut Driver) -> u32 {
    driver.say(&packet(operation::CREDIT_REQUEST, 0), &[]);
    // What is answered to nobody comes behind everything else.
    driver.say(&Driver::packet(8, 1, operation::DATA, 0), &[]);
    let mut used = 0;
    loop {
        let (header, _) = driver.hear();
        match header.operation {
            operation::CREDIT => used = header.used,
            operation => {
                assert_eq!((operation, header.source_port), (operation::RESET, 8));
                return used;
            }
        }
    }
}

/// Says as much as there is room for to somebody who does not read; how much that is, and how much of it was used.
fn fill(driver: &mut Driver) -> (usize, u32) {
    const ROOM: usize = 1 << 18;
    let (mut said, mut taken) = (0, 0);
    while said - taken as usize + PIECE <= ROOM {
        driver.say(&packet(operation::DATA, PIECE), &[b'x'; PIECE]);
        said += PIECE;
        taken = used(driver);
    }
    assert!(said > taken as usize, "a socket takes everything");
    (said, taken)
}

#[test]
fn a_guest_has_room_again_when_something_was_read() {
    let mut driver = Driver::start("room");
    let mut stream = driver.connected(7, 1000);
    let (said, taken) = fill(&mut driver);
    read(&mut stream, said - PIECE);
    let (header, _) = driver.hear_of(operation::CREDIT);
    assert!(header.used > taken);
    read(&mut stream, PIECE);
}

#[test]
fn a_guest_that_says_more_than_there_is_room_for_is_cut_off_behind_what_there_was() {
    let mut driver = Driver::start("flood");
    let mut stream = driver.connected(7, 1000);
    let (said, _) = fill(&mut driver);
    driver.say(&packet(operation::DATA, PIECE), &[b'y'; PIECE]);
    driver.hear_of(operation::RESET);
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert!(all.len() == said && all.iter().all(|byte| *byte == b'x'));
}

#[test]
fn a_guest_is_told_no_more_than_it_has_room_for() {
    let mut driver = Driver::start("credit");
    let mut stream = driver.connected(7, 1000);
    driver.say(&Header { room: 10, ..packet(operation::CREDIT, 0) }, &[]);
    driver.is_heard();
    stream.write_all(b"more than ten bytes").unwrap();
    assert_eq!(driver.hear_of(operation::DATA).1, b"more than ");
    driver.hear_of(operation::CREDIT_REQUEST);
    driver.say(&Header { room: 10, used: 4, ..packet(operation::CREDIT, 0) }, &[]);
    assert_eq!(driver.hear_of(operation::DATA).1, b"ten ");
    driver.hear_of(operation::CREDIT_REQUEST);
    driver.say(&Header { room: 100, used: 14, ..packet(operation::CREDIT, 0) }, &[]);
    assert_eq!(driver.hear_of(operation::DATA).1, b"bytes");
}

#[test]
fn a_guest_that_says_much_at_once_is_heard_to_the_end_and_what_it_is_told_waits_for_room() {
    let mut driver = Driver::start("much");
    let (times, rounds) = (60, 275);
    for round in 1..=rounds {
        // Each is answered, and what has no room in the guest waits, until the guest is heard no more.
        driver.say_at_once(&packet(operation::DATA, 0), times);
        if round < rounds {
            driver.is_heard();
        }
    }
    for _ in 0..rounds * times {
        driver.hear_of(operation::RESET);
    }
    driver.is_heard();
}

#[test]
fn nothing_that_happens_while_the_machine_stands_still_is_lost() {
    let mut driver = Driver::start("still");
    let mut stream = driver.connected(7, 1000);
    for round in 0..50_u8 {
        driver.say(&packet(operation::DATA, 1), &[round]);
        let bases = driver.stop();
        // Data, the end of a caller, and a new one.
        stream.write_all(&[round, 1]).unwrap();
        let mut caller = caller_of(&driver, b"CONNECT 5000\n");
        driver.say(&packet(operation::DATA, 1), &[round]);
        driver.begin(bases);
        assert_eq!(read(&mut stream, 2), [round, round]);
        let mut heard = [driver.hear(), driver.hear()];
        heard.sort_by_key(|(header, _)| header.operation);
        let [(request, _), (_, data)] = heard;
        assert_eq!((request.operation, &data[..]), (operation::REQUEST, &[round, 1][..]));
        driver.say(&Driver::packet(request.source_port, 5000, operation::RESET, 0), &[]);
        assert_eq!(caller.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn another_driver_knows_of_no_connection_and_those_of_before_end() {
    let mut driver = Driver::start("another");
    let mut stream = driver.connected(7, 1000);
    driver.stop();
    stream.set_nonblocking(true).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    driver.begin([0, 0]);
    stream.set_nonblocking(false).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    std::fs::remove_file(driver.folder.join("connect_7")).unwrap();
    let mut other = driver.connected(7, 1000);
    driver.say(&packet(operation::DATA, 2), b"hi");
    assert_eq!(read(&mut other, 2), b"hi");
}

#[test]
fn of_a_driver_that_does_what_cannot_be_nothing_is_heard_until_there_is_another() {
    let mut driver = Driver::start("broken");
    let mut stream = driver.connected(7, 1000);
    // It says that more follows than there is.
    driver.say(&packet(operation::DATA, 500), b"hi");
    driver.say(&packet(operation::DATA, 2), b"hi");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the connection ends, and nothing has come");
    // Who calls it then finds the end.
    let mut caller = caller_of(&driver, b"CONNECT 5000\n");
    assert_eq!(caller.read(&mut [0]).unwrap(), 0);
    driver.stop();
    driver.begin([0, 0]);
    std::fs::remove_file(driver.folder.join("connect_7")).unwrap();
    driver.connected(7, 1000);
}

#[test]
fn who_hears_no_more_may_still_have_said_something() {
    let mut driver = Driver::start("deaf");
    let mut stream = driver.connected(7, 1000);
    stream.write_all(b"last words").unwrap();
    stream.shutdown(Shutdown::Read).unwrap();
    assert_eq!(driver.hear_of(operation::DATA).1, b"last words");
    driver.say(&packet(operation::DATA, 2), b"hi");
    let (header, _) = driver.hear_of(operation::SHUTDOWN);
    assert_eq!(header.flags, HEARS_NO_MORE);
    stream.write_all(b"and more").unwrap();
    assert_eq!(driver.hear_of(operation::DATA).1, b"and more");
    drop(stream);
    let (header, _) = driver.hear_of(operation::SHUTDOWN);
    assert_eq!(header.flags, SAYS_NO_MORE | HEARS_NO_MORE);
}

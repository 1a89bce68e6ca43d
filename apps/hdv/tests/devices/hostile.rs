//! Monitors that do not keep to the protocol: they are hung up on, and the program lives.

use std::os::fd::AsFd;

use crate::{
    board::Served,
    monitor::{Monitor, access, memory},
};

fn header(command: u16, size: u32, flags: u32) -> Vec<u8> {
    let mut bytes = vec![1, 0];
    bytes.extend(command.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend([0; 4]);
    bytes
}

#[test]
fn whoever_breaks_the_rules_is_hung_up_on() {
    let greeting = header(1, 20, 0).into_iter().chain([0; 4]).collect::<Vec<u8>>();
    let with = |more: Vec<u8>| [greeting.clone(), more].concat();
    for (what, bytes) in [
        ("a request before the greeting", header(4, 16, 0)),
        ("another version", [header(1, 20, 0), vec![1, 0, 0, 0]].concat()),
        ("a greeting that is no text", [header(1, 24, 0), vec![0, 0, 0, 0, b'{', b'"', 0xff, 0]].concat()),
        ("a second greeting", with(greeting.clone())),
        ("a length without room for a header", with(header(4, 15, 0))),
        ("a length beyond all", with(header(4, u32::MAX, 0))),
        ("flags that nobody knows", with(header(4, 16, 7))),
        ("a body that is cut off", with([header(9, 20, 0), vec![0; 4]].concat())),
        ("a write with another length", with([header(10, 40, 0), access(0, 0, 4, &[0; 8])].concat())),
        ("a read beyond all", with([header(9, 32, 0), access(0, 0, u32::MAX, &[])].concat())),
        ("memory around the end", with([header(2, 48, 0), vec![0xff; 32]].concat())),
        ("memory without length", with([header(2, 48, 0), vec![0; 32]].concat())),
    ] {
        let served = Served::start();
        let mut monitor = Monitor::silent(&served.path);
        monitor.raw(&bytes, &[]);
        assert!(monitor.is_hung_up(), "{what}");
        drop(monitor);
        served.host.teardown();
        assert_eq!(served.board.take().last().unwrap(), "teardown", "{what}");
    }
}

#[test]
fn descriptors_that_nobody_asked_for_are_closed_or_hung_up_on() {
    let file = memory(4096);
    let many = vec![file.as_fd(); 17];
    let served = Served::start();
    let mut monitor = Monitor::greeted(&served.path);
    monitor.send(13, 0, &[], &many);
    assert!(monitor.is_hung_up());
    let served = Served::start();
    let mut monitor = Monitor::greeted(&served.path);
    monitor.send(9, 0, &access(7, 0, 4, &[]), &[file.as_fd()]);
    assert!(monitor.is_hung_up());
}

#[test]
fn random_messages_never_stop_the_program() {
    // A small generator of its own, so that a failure can be had again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..60 {
        let served = Served::start();
        let monitor = Monitor::greeted(&served.path);
        let reader = monitor.stream.try_clone().unwrap();
        // What is answered is of no interest, but has to be read.
        let reading = std::thread::spawn(move || {
            let mut reader = reader;
            let _ = std::io::copy(&mut reader, &mut std::io::sink());
        });
        for _ in 0..200 {
            let length = (random() % 64) as usize;
            let mut body: Vec<u8> = (0..length).map(|_| random() as u8).collect();
            let command = (random() % 15) as u16;
            if command == 9 || command == 10 {
                let length = if command == 10 { body.len() as u32 } else { (random() % 64) as u32 };
                let data = if command == 10 { std::mem::take(&mut body) } else { Vec::new() };
                body = access((random() % 9) as u32, random() % 0x1_1000, length, &data);
            }
            let mut bytes = header(command, 16 + body.len() as u32, if random() % 4 == 0 { 0x10 } else { 0 });
            bytes.extend(body);
            let sent = rustix::net::send(&monitor.stream, &bytes, rustix::net::SendFlags::NOSIGNAL);
            if sent.is_err() {
                break;
            }
        }
        served.host.teardown();
        assert_eq!(served.board.take().last().unwrap(), "teardown");
        drop(monitor);
        reading.join().unwrap();
    }
}

#[test]
fn a_device_that_panics_is_hung_up_and_torn_down() {
    let served = Served::start();
    let mut monitor = Monitor::greeted(&served.path);
    monitor.send(9, 0, &access(0, crate::board::PANICS, 4, &[]), &[]);
    assert!(monitor.is_hung_up());
    served.host.teardown();
    assert_eq!(served.board.take().last().unwrap(), "teardown");
}

//! What a device does by itself.

use std::os::fd::AsFd;

use hdv::Cause;

use crate::{
    board::{COPIES, Served},
    monitor::{Monitor, access, memory},
};

#[test]
fn memory_that_has_a_file_is_read_and_written_there() {
    let served = Served::start();
    let mut monitor = Monitor::greeted(&served.path);
    let file = memory(8192);
    assert_eq!(monitor.map(0x1000, 8192, Some(file.as_fd())), 0);
    assert_eq!(monitor.map(0x2000, 8192, None), 17);
    let own = &served.board.own;
    own.write_guest(0x1ffe, b"four").unwrap();
    let mut data = [0; 4];
    rustix::io::pread(&file, &mut data, 0xffe).unwrap();
    assert_eq!(&data, b"four");
    assert_eq!(own.read_guest(0x2fff, &mut data).unwrap_err().cause, Cause::InvalidArgument);
    let window = own.map_guest(0x2000, 4096, false).unwrap();
    assert_eq!(own.map_guest(0x2000, 100, false).unwrap_err().cause, Cause::InvalidArgument);
    assert_eq!(own.map_guest(0x2000, 8192, false).unwrap_err().cause, Cause::InvalidArgument);
    own.unmap_guest(window).unwrap();
    assert_eq!(own.unmap_guest(window).unwrap_err().cause, Cause::InvalidArgument);
    let mut windows = Vec::new();
    let full = loop {
        match own.map_guest(0x1000, 4096, true) {
            Ok(window) => windows.push(window),
            Err(error) => break error,
        }
    };
    assert_eq!((full.cause, windows.len()), (Cause::NotEnoughQuota, 1024));
    windows.drain(..).for_each(|window| own.unmap_guest(window).unwrap());
    assert_eq!(monitor.unmap(0x1000, 8192), 0);
    assert_eq!(monitor.unmap(0x1000, 8192), 2);
    assert!(own.read_guest(0x1000, &mut data).is_err());
}

#[test]
fn a_function_of_the_device_asks_the_monitor_while_that_goes_on_asking() {
    let served = Served::start();
    let mut monitor = Monitor::greeted(&served.path);
    assert_eq!(monitor.map(0x1000, 4096, None), 0);
    served.board.take();
    let read = monitor.send(9, 0, &access(0, COPIES, 8, &[]), &[]);
    let asked = monitor.receive().unwrap();
    assert_eq!((asked.command, asked.flags), (11, 0));
    // The length takes eight bytes here, as the protocol says.
    let question = [0x1000u64.to_le_bytes(), 8u64.to_le_bytes()].concat();
    assert_eq!(asked.body, question);
    // Before it is answered others come.
    let written = monitor.send(10, 0, &access(0, 0, 1, &[7]), &[]);
    let mut answer = asked.id.to_le_bytes().to_vec();
    answer.extend(11u16.to_le_bytes());
    answer.extend(40u32.to_le_bytes());
    answer.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    answer.extend(&question);
    answer.extend(b"answered");
    monitor.raw(&answer, &[]);
    let came = monitor.receive().unwrap();
    assert_eq!((came.id, &came.body[16..]), (read, &b"answered"[..]));
    assert_eq!(monitor.receive().unwrap().id, written);
    assert_eq!(served.board.take(), ["write 0 0x0 [7]"]);
}

#[test]
fn what_the_monitor_refuses_is_an_error_of_the_device() {
    let served = Served::start();
    let mut monitor = Monitor::greeted(&served.path);
    assert_eq!(monitor.map(0x1000, 4096, None), 0);
    let own = served.board.own.clone();
    let writing = std::thread::spawn(move || own.write_guest(0x1000, b"refused"));
    let asked = monitor.receive().unwrap();
    assert_eq!((asked.command, &asked.body[16..]), (12, &b"refused"[..]));
    let mut refusal = asked.id.to_le_bytes().to_vec();
    refusal.extend(12u16.to_le_bytes());
    refusal.extend(16u32.to_le_bytes());
    refusal.extend(0x21u32.to_le_bytes());
    refusal.extend(13u32.to_le_bytes());
    monitor.raw(&refusal, &[]);
    assert_eq!(writing.join().unwrap().unwrap_err().errno, Some(13));
}

#[test]
fn interrupts_are_writes_that_nobody_waits_for() {
    let served = Served::start();
    let mut monitor = Monitor::greeted(&served.path);
    let own = &served.board.own;
    assert_eq!(own.interrupt(0x1000, 1).unwrap_err().cause, Cause::InvalidArgument);
    for data in 0..10u32 {
        own.interrupt(0xfee0_1000, data).unwrap();
    }
    for data in 0..10u32 {
        let came = monitor.receive().unwrap();
        assert_eq!((came.command, came.flags), (12, 0x10));
        assert_eq!(came.body[..8], 0xfee0_1000u64.to_le_bytes());
        assert_eq!(came.body[16..], data.to_le_bytes());
    }
}

#[test]
fn a_hang_up_wakes_who_waits_for_the_monitor() {
    let served = Served::start();
    let mut monitor = Monitor::greeted(&served.path);
    monitor.map(0x1000, 4096, None);
    let own = served.board.own.clone();
    let reading = std::thread::spawn(move || own.read_guest(0x1000, &mut [0; 8]));
    monitor.receive().unwrap();
    drop(monitor);
    assert_eq!(reading.join().unwrap().unwrap_err().cause, Cause::InvalidState);
}

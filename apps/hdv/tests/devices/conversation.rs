//! What a monitor asks and is answered, and what the device is called for it.

use std::sync::Arc;

use hdv::{Bar, Cause, Doorbell, Section, Size};

use crate::{
    board::{INSTANCE, Served},
    monitor::{Monitor, NO_REPLY, access, memory},
};
use std::os::fd::AsFd;

#[test]
fn a_device_lives_from_initialize_to_teardown() {
    let served = Served::start();
    assert_eq!(served.board.take(), ["initialize", "configuration [\"a\", \"b\"]", "details"]);
    let mut monitor = Monitor::greeted(&served.path);
    monitor.ask(13, &[]);
    assert_eq!(served.board.take(), [""; 0]);
    served.host.start(INSTANCE).unwrap();
    served.host.start(INSTANCE).unwrap();
    assert_eq!(served.board.take(), ["start"]);
    // The guest is reset.
    monitor.ask(13, &[]);
    assert_eq!(served.board.take(), ["stop", "start"]);
    served.host.stop(INSTANCE);
    served.host.stop(INSTANCE);
    assert_eq!(served.board.take(), ["stop"]);
    served.host.start(INSTANCE).unwrap();
    served.host.teardown();
    assert_eq!(served.board.take(), ["start", "stop", "teardown"]);
    assert!(monitor.is_hung_up());
    assert_eq!(served.board.own.read_guest(0, &mut [0]).unwrap_err().cause, Cause::InvalidArgument);
    assert_eq!(served.host.serve(INSTANCE, &[], memory(1)).unwrap_err().cause, Cause::NotFound);
}

#[test]
fn a_monitor_that_goes_takes_the_device_out_of_its_machine_and_the_next_gets_it_anew() {
    let served = Served::start();
    let monitor = Monitor::greeted(&served.path);
    served.host.start(INSTANCE).unwrap();
    served.board.take();
    drop(monitor);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let mut calls = Vec::new();
    while calls != ["stop", "teardown"] {
        assert!(std::time::Instant::now() < deadline, "{calls:?}");
        calls.extend(served.board.take());
        std::thread::yield_now();
    }
    std::fs::remove_file(&served.path).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(&served.path).unwrap();
    served.host.serve(INSTANCE, &[], listener.into()).unwrap();
    assert_eq!(served.board.take(), ["initialize", "configuration []", "details"]);
    Monitor::greeted(&served.path);
}

#[test]
fn a_monitor_learns_what_the_device_looks_like() {
    let served = Served::start();
    let mut monitor = Monitor::greeted(&served.path);
    let number = |body: &[u8], at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap());
    let info = monitor.ask(4, &[16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).body;
    assert_eq!((number(&info, 4), number(&info, 8), number(&info, 12)), (3, 9, 5));
    let mut question = |index: u8| {
        let mut body = [0; 32];
        (body[0], body[8]) = (32, index);
        let came = monitor.ask(5, &body);
        (came.errno, came.body)
    };
    let lengths: Vec<u64> = (0..9)
        .map(|index| {
            let (errno, body) = question(index);
            assert_eq!((errno, number(&body, 8)), (0, u32::from(index)));
            u64::from_le_bytes(body[16..24].try_into().unwrap())
        })
        .collect();
    assert_eq!(lengths, [0x1_0000, 0, 0x2000, 0, 0, 0, 0, 4096, 0]);
    assert_eq!(question(9).0, 22);
    // It has no interrupts that a monitor would serve.
    let irqs = monitor.ask(7, &[16, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]).body;
    assert_eq!(number(&irqs, 12), 0);
    // What is not served is refused, and the conversation goes on.
    let refused = monitor.ask(99, &[1, 2, 3]);
    assert_eq!((refused.flags & 0x20, refused.errno), (0x20, 95));
    assert_eq!(monitor.read(7, 0, 4), [0x34, 0x12, 0x50, 0x5e]);
}

#[test]
fn accesses_reach_the_device_in_order_and_what_fails_reads_as_ones() {
    let served = Served::start();
    let mut monitor = Monitor::greeted(&served.path);
    served.board.take();
    assert_eq!(monitor.read(0, 0x21, 1), [0x21]);
    assert_eq!(monitor.read(2, 0x8, 8), [0x0a; 8]);
    assert_eq!(monitor.read(0, 0xbad0, 4), [0xff; 4]);
    for value in 0..50u8 {
        monitor.send(10, NO_REPLY, &access(0, 0x10, 2, &[value, 0]), &[]);
    }
    // A read comes behind the writes before it.
    monitor.read(0, 0, 4);
    let expected: Vec<String> = (0..50u8).map(|value| format!("write 0 0x10 [{value:x}, 0]")).collect();
    assert_eq!(served.board.take(), expected);
    // Beyond the end nothing is.
    assert_eq!(monitor.ask(9, &access(0, 0xffff, 2, &[])).errno, 22);
    assert_eq!(monitor.ask(9, &access(1, 0, 4, &[])).errno, 22);
    assert_eq!(monitor.ask(9, &access(7, u64::MAX, 4, &[])).errno, 22);
}

#[test]
fn doorbells_ring_and_nothing_else_hears_them() {
    let served = Served::start();
    let mut monitor = Monitor::greeted(&served.path);
    served.board.take();
    let rung = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let ringing = rung.clone();
    let bell = Doorbell { bar: Bar::new(0).unwrap(), offset: 0x40, size: Some(Size::Word), value: None };
    let signal = Arc::new(move || {
        ringing.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    served.board.own.add_doorbell(bell, signal.clone()).unwrap();
    let beyond = Doorbell { offset: 0x1_0000, ..bell };
    assert_eq!(served.board.own.add_doorbell(beyond, signal).unwrap_err().cause, Cause::InvalidArgument);
    monitor.write(0, 0x40, &[1, 0]);
    monitor.write(0, 0x40, &[2, 0]);
    monitor.write(0, 0x40, &[3, 0, 0, 0]);
    assert_eq!(rung.load(std::sync::atomic::Ordering::Relaxed), 2);
    assert_eq!(served.board.take(), ["write 0 0x40 [3, 0, 0, 0]"]);
    served.board.own.remove_doorbell(&bell).unwrap();
    monitor.write(0, 0x40, &[1, 0]);
    assert_eq!(served.board.take(), ["write 0 0x40 [1, 0]"]);
}

#[test]
fn sections_are_mapped_or_served_and_those_for_reading_tell_of_writes() {
    let file = memory(16 * 4096);
    let bar = Bar::new(2).unwrap();
    let section = |offset_pages, writable| Section {
        bar,
        offset_pages,
        pages: 1,
        writable,
        file: file.as_fd(),
        file_offset_pages: 4 + offset_pages,
    };
    let served = Served::start_with(|board| board.own.map_section(section(0, true)).unwrap());
    let mut monitor = Monitor::greeted(&served.path);
    served.board.take();
    let body =
        [64, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let region = monitor.ask(5, &body).body;
    // Readable, writable, mapped, with one area.
    assert_eq!(region[4], 0xf);
    assert_eq!(u64::from_le_bytes(region[24..32].try_into().unwrap()), 4 * 4096);
    assert_eq!(region[48..64], [0u64.to_le_bytes(), 4096u64.to_le_bytes()].concat());
    served.board.own.map_section(section(1, false)).unwrap();
    rustix::io::pwrite(&file, b"seen", 5 * 4096).unwrap();
    assert_eq!(monitor.read(2, 4096, 4), b"seen");
    monitor.write(2, 4096, b"told");
    assert_eq!(monitor.read(2, 4096, 4), b"seen");
    assert_eq!(served.board.take().len(), 1);
    served.board.own.unmap_section(bar, 1).unwrap();
    assert_eq!(monitor.read(2, 4096, 4), [2; 4]);
    assert_eq!(served.board.own.unmap_section(bar, 0).unwrap_err().cause, Cause::NotSupported);
}

#[test]
fn a_function_of_the_device_can_end_the_host_and_is_not_waited_for() {
    let served = Served::start();
    *served.board.host.lock().unwrap() = Some(served.host.clone());
    let mut monitor = Monitor::greeted(&served.path);
    served.host.start(INSTANCE).unwrap();
    served.board.take();
    monitor.send(9, 0, &access(0, crate::board::ENDS, 4, &[]), &[]);
    assert!(monitor.is_hung_up());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let mut calls = Vec::new();
    while calls != ["ended", "stop", "teardown"] {
        assert!(std::time::Instant::now() < deadline, "{calls:?}");
        calls.extend(served.board.take());
        std::thread::yield_now();
    }
    assert_eq!(served.board.own.read_guest(0, &mut [0]).unwrap_err().cause, Cause::InvalidArgument);
}

//! Streams of processes that say much, that nobody listens to, and that outlive their process.

use std::{
    fs::File,
    io::Read,
    time::{Duration, Instant},
};

use crate::{
    command, output,
    place::{Place, in_every_place},
    run, script,
};

const MUCH: u64 = 100_000_000;

in_every_place! {
    Place:
    a_hundred_megabytes_arrive_whole_and_in_order,
    a_process_that_nobody_listens_to_stalls_itself_and_no_other,
    who_inherits_a_stream_does_not_delay_the_exit,
}

fn a_hundred_megabytes_arrive_whole_and_in_order(place: &Place) {
    let system = &place.system;
    let mut process = run(system, &script(&format!("yes 0123456789abcde | head -c {MUCH}")));
    let mut from = File::from(process.pipes.stdout.take().unwrap());
    let (mut buffer, mut total) = (vec![0; 1 << 16], 0u64);
    let line = b"0123456789abcde\n";
    loop {
        let length = from.read(&mut buffer).unwrap();
        if length == 0 {
            break;
        }
        for (index, byte) in buffer[..length].iter().enumerate() {
            assert_eq!(*byte, line[(total as usize + index) % line.len()]);
        }
        total += length as u64;
    }
    assert_eq!(total, MUCH);
    assert_eq!(process.wait_blocking().unwrap().exit_code, Some(0));
}

fn a_process_that_nobody_listens_to_stalls_itself_and_no_other(place: &Place) {
    let system = &place.system;
    let loud: Vec<_> = (0..4)
        .map(|_| run(system, &command(&["sh", "-c", "yes; echo ended >/dev/null"]).create_std_in_pipe(true)))
        .collect();
    // A reader of input that never reads is no better: its pipe is filled.
    let mut deaf = run(system, &command(&["sleep", "1000"]).create_std_in_pipe(true));
    let stdin = deaf.pipes.stdin.take().unwrap();
    rustix::fs::fcntl_setfl(&stdin, rustix::fs::OFlags::NONBLOCK).unwrap();
    while rustix::io::write(&stdin, &[b'x'; 4096]).is_ok() {}
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(output(system, "echo prompt"), "prompt\n");
    }
    let took = began.elapsed();
    println!("twenty processes beside them took {took:?}");
    // A guest without KVM takes its time, but who stalls them stalls them for ever.
    assert!(took < Duration::from_secs(20), "{took:?}");
    for process in &loud {
        assert!(!process.status().wait().unwrap().exited.unwrap(), "it waits for a reader");
        process.kill().wait().unwrap();
        assert_eq!(process.wait_blocking().unwrap().exit_code, Some(137));
    }
}

fn who_inherits_a_stream_does_not_delay_the_exit(place: &Place) {
    let system = &place.system;
    let began = Instant::now();
    let mut process = run(system, &script("(sleep 1000 &); echo said; exit 3"));
    assert_eq!(process.wait_blocking().unwrap().exit_code, Some(3));
    assert!(began.elapsed() < Duration::from_secs(5));
    // What it said is there; the end of the stream is not, as the other still holds it.
    let mut said = [0; 16];
    let length = File::from(process.pipes.stdout.take().unwrap()).read(&mut said).unwrap();
    assert_eq!(&said[..length], b"said\n");
}

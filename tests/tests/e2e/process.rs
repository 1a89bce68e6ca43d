//! Processes in a container: streams, exit codes, signals, and what they are started with.

use std::os::fd::OwnedFd;

use hcs::{
    Cause,
    schema::{ProcessParameters, ProcessSignal, Signal, SignalProcessOptions},
};
use hcs_tests::Service;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    command, exit_code, output,
    place::{Place, in_every_place},
    read_all, refused, run, script, write_all,
};

/// Reads until this line has come.
pub fn await_line(from: &OwnedFd, line: &str) {
    let (mut text, mut buffer) = (String::new(), [0; 1024]);
    while !text.contains(line) {
        let length = rustix::io::read(from, &mut buffer).expect("reading a pipe");
        assert_ne!(length, 0, "the stream ended before {line:?} came: {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

/// Reads what is there without waiting; how much it was.
pub fn drain(from: &OwnedFd) -> usize {
    let (mut total, mut buffer) = (0, [0; 1 << 16]);
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    while poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&now)).expect("a poll") > 0 {
        total += rustix::io::read(from, &mut buffer).expect("reading a pipe");
    }
    total
}

fn signal(number: u32) -> SignalProcessOptions {
    SignalProcessOptions::default().signal(number)
}

in_every_place! {
    Place:
    streams_carry_what_is_written_in_both_directions,
    the_input_ends_on_request_while_its_pipe_stays_open,
    streams_that_were_not_asked_for_are_not_there,
    exit_codes_are_those_of_the_process_or_128_and_its_signal,
    folder_environment_and_user_are_those_of_the_parameters,
    a_process_is_opened_by_its_id_and_tells_its_end_to_every_handle,
}

fn streams_carry_what_is_written_in_both_directions(place: &Place) {
    let system = &place.system;
    let parameters = script("cat; echo done >&2").create_std_in_pipe(true);
    let mut process = run(system, &parameters);
    // More than any pipe holds, so that both directions must flow at once.
    let text = "0123456789abcde\n".repeat(1 << 16);
    let stdin = process.pipes.stdin.take().unwrap();
    let sent = text.clone();
    let writer = std::thread::spawn(move || write_all(&stdin, &sent));
    let received = read_all(process.pipes.stdout.take());
    writer.join().unwrap();
    assert_eq!(received.len(), text.len());
    assert!(received == text, "the bytes are not those that were sent");
    assert_eq!(read_all(process.pipes.stderr.take()), "done\n");
    assert_eq!(exit_code(&process), 0);
}

fn the_input_ends_on_request_while_its_pipe_stays_open(place: &Place) {
    let system = &place.system;
    let mut process = run(system, &command(&["cat"]).create_std_in_pipe(true));
    let stdin = process.pipes.stdin.take().unwrap();
    write_all(&stdin, "one\n");
    process.close_stdin().wait().unwrap();
    assert_eq!(read_all(process.pipes.stdout.take()), "one\n");
    assert_eq!(exit_code(&process), 0);
    drop(stdin);
    refused(process.close_stdin().wait(), Cause::ProcessAlreadyStopped);
}

fn streams_that_were_not_asked_for_are_not_there(place: &Place) {
    let system = &place.system;
    let silent = ProcessParameters::default().command_line("sh -c 'read x; exit 4'");
    let process = run(system, &silent);
    assert!(
        process.pipes.stdin.is_none() && process.pipes.stdout.is_none() && process.pipes.stderr.is_none()
    );
    assert_eq!(exit_code(&process), 4);
}

fn exit_codes_are_those_of_the_process_or_128_and_its_signal(place: &Place) {
    let system = &place.system;
    for code in [0, 1, 42, 255] {
        assert_eq!(exit_code(&run(system, &script(&format!("exit {code}")))), code);
    }
    for (options, number) in [
        (None, 15),
        (Some(signal(10)), 10),
        (Some(signal(9)), 9),
        (Some(SignalProcessOptions::default().signal(ProcessSignal::CtrlC)), 2),
        (Some(SignalProcessOptions::default().signal(Signal::Name(ProcessSignal::CtrlClose))), 1),
    ] {
        let process = run(system, &command(&["sleep", "1000"]));
        process.signal(options.as_ref()).wait().unwrap();
        assert_eq!(exit_code(&process), 128 + number);
        refused(process.signal(None).wait(), Cause::ProcessAlreadyStopped);
    }
    let process = run(system, &command(&["sleep", "1000"]));
    process.kill().wait().unwrap();
    assert_eq!(exit_code(&process), 128 + 9);
    // It can still be asked.
    assert_eq!(process.status().wait().unwrap().exit_code, Some(137));
}

fn folder_environment_and_user_are_those_of_the_parameters(place: &Place) {
    let system = &place.system;
    let environment = [("GREETING".to_owned(), "good day".to_owned()), ("EMPTY".to_owned(), String::new())];
    let parameters = script("pwd; echo \"$GREETING/${EMPTY-unset}/$HOME\"; id -u; id -g; id -G")
        .working_directory("/home/web")
        .environment(environment.into_iter().collect::<std::collections::BTreeMap<_, _>>())
        .user("web");
    let mut process = run(system, &parameters);
    let said = read_all(process.pipes.stdout.take());
    assert_eq!(said, "/home/web\ngood day///home/web\n1000\n1001\n1001 29\n");
    assert_eq!(exit_code(&process), 0);
    assert_eq!(output(system, "id -u; pwd"), "0\n/\n");

    // As much as a program can be told at once, and more.
    let long = "x".repeat(100_000);
    assert_eq!(output(system, &format!("printf %s {long} | wc -c")).trim(), "100000");
    refused(system.run(&command(&["true", &"x".repeat(200_000)])).wait(), Cause::Unexpected);

    let error = refused(system.run(&command(&["true"]).user("nobody-here")).wait(), Cause::NotFound);
    assert!(error.message.contains("$.User"), "{error}");
    refused(system.run(&command(&["true"]).working_directory("/nowhere")).wait(), Cause::FileNotFound);
    let began = std::time::Instant::now();
    let error = refused(system.run(&command(&["no-such-program"])).wait(), Cause::FileNotFound);
    assert!(error.message.contains("no-such-program"), "{error}");
    assert!(began.elapsed().as_secs() < 3, "a missing program is told at once");
}

fn a_process_is_opened_by_its_id_and_tells_its_end_to_every_handle(place: &Place) {
    let system = &place.system;
    let process = run(system, &script("read line; exit 9").create_std_in_pipe(true));
    let elsewhere = place.elsewhere();
    let again = elsewhere.open_process(process.id()).wait().unwrap();
    assert_eq!(again.id(), process.id());
    let pipes = again.pipes_again().wait().unwrap();
    write_all(pipes.stdin.as_ref().unwrap(), "go\n");
    assert_eq!(exit_code(&process), 9);
    assert_eq!(exit_code(&again), 9);
    refused(again.pipes_again().wait(), Cause::ProcessAlreadyStopped);
    // An end that is long past is told to who opens late.
    let late = system.open_process(process.id()).wait().unwrap();
    assert_eq!(exit_code(&late), 9);
    refused(system.open_process(4_000_000).wait(), Cause::NotFound);
}

#[test]
fn orphans_are_reaped_and_end_with_their_container() {
    let service = Service::start();
    let client = service.client();
    let system = service.running(&client, "web");
    assert_eq!(
        output(&system, "sleep 0.02 >/dev/null 2>&1 & (sleep 1000 >/dev/null 2>&1 &) ; echo gone"),
        "gone\n"
    );
    hcs_tests::until("no zombie", std::time::Duration::from_secs(5), || {
        output(&system, "grep -l 'State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l").trim() == "0"
    });
    assert!(output(&system, "ps").contains("sleep 1000"));
    system.terminate().wait().unwrap();
}

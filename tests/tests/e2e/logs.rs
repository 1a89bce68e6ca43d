//! Output that is kept: of processes on the host and in machines, of the consoles of machines, for whoever asks whenever.

use std::{
    fs,
    io::Read,
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use hcs::{
    Cause, Output, Said,
    output::OutputStream,
    schema::{ProcessLinux, ProcessLog, ProcessParameters},
};
use hcs_tests::{Service, machine::Guest, processes};
use serde_json::Value;

use crate::{
    contained, exit_code, output,
    place::{Place, in_every_place},
    refused, run, script,
};

/// A script whose output is kept.
fn kept(text: &str) -> ProcessParameters {
    hcs::output::kept(script(text))
}

/// A script of whose output so many bytes are kept.
fn kept_at_most(text: &str, most: u64) -> ProcessParameters {
    kept(text).linux(ProcessLinux::default().log(ProcessLog::default().maximum_size_bytes(most)))
}

fn pieces(output: Output) -> Vec<Said> {
    output.map(|said| said.expect("reading what was said")).collect()
}

fn text_of(pieces: &[Said], stream: OutputStream) -> String {
    let bytes: Vec<u8> =
        pieces.iter().filter(|said| said.stream == stream).flat_map(|said| said.bytes.clone()).collect();
    String::from_utf8(bytes).expect("a text")
}

/// Reads until this was said.
pub fn until(output: &mut Output, text: &str) -> String {
    let mut said = String::new();
    while !said.contains(text) {
        let piece = output.next().unwrap_or_else(|| panic!("the end came before {text:?}: {said:?}"));
        said += &String::from_utf8_lossy(&piece.unwrap().bytes);
    }
    said
}

in_every_place! {
    Place:
    what_a_process_has_said_is_kept_when_nobody_listens,
    who_follows_hears_the_past_and_then_the_present_to_the_end,
    what_is_kept_has_a_bound_and_tells_what_is_gone,
    who_reads_nothing_delays_nobody,
}

fn what_a_process_has_said_is_kept_when_nobody_listens(place: &Place) {
    let before = SystemTime::now();
    let process = run(&place.system, &kept("echo one; echo two >&2; sleep 1; echo three"));
    assert!(process.pipes.stdout.is_none() && process.pipes.stderr.is_none());
    assert_eq!(exit_code(&process), 0);
    let id = process.id();
    drop(process);
    let said = pieces(place.elsewhere().output(Some(id), true).wait().unwrap());
    assert_eq!(text_of(&said, OutputStream::StdOut), "one\nthree\n");
    assert_eq!(text_of(&said, OutputStream::StdErr), "two\n");
    assert!(said.iter().all(|said| said.process == Some(id)));
    assert!(said[0].time >= before && said.windows(2).all(|two| two[0].time <= two[1].time));
    let apart = said.last().unwrap().time.duration_since(said[0].time).unwrap();
    assert!(apart >= Duration::from_millis(150), "{apart:?}");
    // Once more, by the file of what there is; and of nobody else there is anything.
    assert_eq!(pieces(place.system.output(Some(id), false).wait().unwrap()), said);
    let other = run(&place.system, &script("echo not kept"));
    let error = refused(place.system.output(Some(other.id()), false).wait(), Cause::NotFound);
    assert!(error.to_string().contains("Linux.Log"), "{error}");
    exit_code(&other);
}

fn who_follows_hears_the_past_and_then_the_present_to_the_end(place: &Place) {
    let process =
        run(&place.system, &kept("echo past; until [ -e /tmp/go ]; do sleep 0.02; done; echo present"));
    let mut one = place.system.output(Some(process.id()), true).wait().unwrap();
    until(&mut one, "past\n");
    let mut all = place.elsewhere().output(None, true).wait().unwrap();
    until(&mut all, "past\n");
    output(&place.system, "touch /tmp/go");
    assert_eq!(until(&mut one, "present\n"), "present\n");
    until(&mut all, "present\n");
    assert!(one.next().is_none(), "it goes on after the end of the process");
    // That of everybody goes on: another process is heard too.
    let another = run(&place.system, &kept("echo another; rm /tmp/go"));
    until(&mut all, "another\n");
    assert_eq!((exit_code(&process), exit_code(&another)), (0, 0));
}

fn what_is_kept_has_a_bound_and_tells_what_is_gone(place: &Place) {
    let process = run(
        &place.system,
        &kept_at_most("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i + 1)); done", 8192),
    );
    assert_eq!(exit_code(&process), 0);
    // In a machine the last words may still be on their way when the process has ended.
    pieces(place.system.output(Some(process.id()), true).wait().unwrap());
    let said = pieces(place.system.output(Some(process.id()), false).wait().unwrap());
    let text = text_of(&said, OutputStream::StdOut);
    assert!(text.ends_with("line 1999\n"), "{text}");
    let all: u64 = (0..2000).map(|number| format!("line {number}\n").len() as u64).sum();
    let last = said.last().unwrap();
    assert_eq!(last.offset + last.bytes.len() as u64, all);
    assert!(said[0].offset > 0);
    let many = kept_at_most("true", 1 << 40);
    let error = refused(place.system.run(&many).wait(), Cause::InvalidData);
    assert!(error.to_string().contains("$.Linux.Log.MaximumSizeBytes"), "{error}");
    let both = kept("true").create_std_out_pipe(true);
    refused(place.system.run(&both).wait(), Cause::InvalidData);
    refused(place.system.run(&kept("true").emulate_console(true)).wait(), Cause::InvalidData);
}

fn who_reads_nothing_delays_nobody(place: &Place) {
    let process = run(
        &place.system,
        &kept("echo begin; until [ -e /tmp/read ]; do sleep 0.02; done; seq 1 200000; echo end"),
    );
    let silent = place.system.output(Some(process.id()), true).wait().unwrap();
    output(&place.system, "touch /tmp/read");
    assert_eq!(exit_code(&process), 0);
    let said = pieces(place.system.output(Some(process.id()), true).wait().unwrap());
    assert!(text_of(&said, OutputStream::StdOut).ends_with("200000\nend\n"));
    // It gets the beginning, and the end, and is told what it has missed in between.
    let heard = pieces(silent);
    assert!(heard[0].bytes.starts_with(b"begin\n") && heard.last().unwrap().bytes.ends_with(b"end\n"));
    let missed: u64 = heard.iter().map(|said| said.missed).sum();
    let bytes: u64 = heard.iter().map(|said| said.bytes.len() as u64).sum();
    let last = heard.last().unwrap();
    assert_eq!(missed + bytes, last.offset + last.bytes.len() as u64);
    assert!(missed > 0);
    output(&place.system, "rm /tmp/read");
}

#[test]
fn output_in_a_machine_is_kept_as_on_the_host() {
    let place = Place::machine();
    all(&place);
    place.end();
}

#[test]
fn output_in_a_container_in_a_machine_is_kept_as_on_the_host() {
    let place = Place::hosted();
    all(&place);
    place.end();
}

#[test]
fn a_death_of_the_service_loses_no_word_and_no_listener() {
    let mut service = Service::start();
    let system = service.running_from("web", &service.lasting_document());
    let process = run(&system, &kept("n=0; while :; do n=$((n + 1)); echo count $n; sleep 0.01; done"));
    let id = process.id();
    let mut output = system.output(Some(id), true).wait().unwrap();
    until(&mut output, "count 3\n");
    service.kill();
    // Not a single number: it may have come with what was looked for before, and then does not come again.
    let while_dead = until(&mut output, "00\n");
    service.restart();
    let said = pieces(service.client().open("web").wait().unwrap().output(Some(id), false).wait().unwrap());
    let text = text_of(&said, OutputStream::StdOut);
    assert!(text.starts_with("count 1\ncount 2\n") && text.contains(while_dead.trim_start()), "{text}");
    until(&mut output, "00\n");
    service.client().open("web").wait().unwrap().terminate().wait().unwrap();
    let numbers: Vec<Said> = pieces(output);
    assert!(numbers.iter().all(|said| said.missed == 0));
}

#[test]
fn the_last_words_of_a_system_reach_who_follows() {
    let (service, system) = contained();
    let process = run(&system, &kept("yes words | head -c 400002; echo last; sleep 1000"));
    let mut first = system.output(Some(process.id()), true).wait().unwrap();
    let listener = service.client().open("web").wait().unwrap().output(None, true).wait().unwrap();
    until(&mut first, "last\n");
    // It has read nothing so far, and its pipe takes a part of it.
    let began = Instant::now();
    system.terminate().wait().unwrap();
    assert!(began.elapsed() < Duration::from_secs(4), "who does not read delays the end");
    service.await_nothing_left();
    let said = pieces(listener);
    assert!(text_of(&said, OutputStream::StdOut).ends_with("words\nlast\n"));
    assert_eq!(said.iter().map(|said| said.missed).sum::<u64>(), 0);
}

/// The memory of a process that is there, in KiB.
fn resident(pid: u32) -> u64 {
    let status = processes::read(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

#[test]
fn a_process_that_says_a_lot_neither_grows_its_worker_nor_keeps_it_from_others() {
    const MEGABYTES: u64 = 200;
    let (service, system) = contained();
    let worker = service.worker(&system);
    let warm = run(&system, &kept("head -c 4000000 /dev/zero"));
    exit_code(&warm);
    let silent = system.output(None, true).wait().unwrap();
    let before = resident(worker);
    let process = run(&system, &kept(&format!("head -c {MEGABYTES}000000 /dev/zero")));
    let (mut most, mut asked, mut slowest) = (0, 0, Duration::ZERO);
    while process.status().wait().unwrap().exited != Some(true) {
        let began = Instant::now();
        assert_eq!(output(&system, "echo here"), "here\n");
        slowest = slowest.max(began.elapsed());
        most = most.max(resident(worker));
        asked += 1;
    }
    let said = pieces(system.output(Some(process.id()), false).wait().unwrap());
    let last = said.last().unwrap();
    assert_eq!(last.offset + last.bytes.len() as u64, MEGABYTES * 1_000_000);
    println!("{asked} others, the slowest {slowest:?}; the worker had {before} KiB, then {most}");
    assert!(asked > 0 && slowest < Duration::from_secs(2), "{asked} {slowest:?}");
    assert!(most < before + 4096, "the worker has grown from {before} to {most} KiB");
    drop(silent);
}

/// What a command has said, and that it was done.
fn said_by(command: &mut Command) -> (String, String) {
    let output = command.output().expect("running hcs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a text");
    (text(output.stdout), text(output.stderr))
}

fn to_the_end(mut child: Child, mut stdout: impl Read) -> String {
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    text
}

#[test]
fn logs_shows_the_last_lines_the_times_and_what_comes() {
    let (service, system) = contained();
    let logs = |arguments: &[&str]| {
        let mut command = service.hcs();
        command.arg("logs").args(arguments).arg("web");
        command
    };
    let nothing = logs(&[]).output().unwrap();
    assert!(!nothing.status.success());
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("Linux.Log"));

    let first = run(
        &system,
        &kept("echo one; echo two; echo bad >&2; until [ -e /tmp/go ]; do sleep 0.02; done; echo three"),
    );
    let mut heard = system.output(Some(first.id()), true).wait().unwrap();
    until(&mut heard, "bad\n");
    assert_eq!(said_by(&mut logs(&[])), ("one\ntwo\n".to_owned(), "bad\n".to_owned()));
    let mut follow = logs(&["-f", "-n", "2"]).stdout(Stdio::piped()).spawn().unwrap();
    let stdout: OwnedFd = follow.stdout.take().unwrap().into();
    crate::process::await_line(&stdout, "two\n");
    output(&system, "touch /tmp/go");
    until(&mut heard, "three\n");
    let second = run(&system, &kept("echo four; sleep 1000"));
    until(&mut system.output(Some(second.id()), true).wait().unwrap(), "four\n");

    let prefixed = format!("one\ntwo\nthree\n[{}] four\n", second.id());
    assert_eq!(said_by(&mut logs(&[])).0, prefixed);
    assert_eq!(said_by(&mut logs(&["--process", &second.id().to_string()])).0, "four\n");
    let timed = said_by(&mut logs(&["--timestamps", "-n", "2"])).0;
    let lines: Vec<&str> = timed.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("20") && lines[0].ends_with("Z three"), "{timed}");
    let json: Vec<Value> =
        said_by(&mut logs(&["--json"])).0.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let bad = json.iter().find(|line| line["Text"] == "bad").unwrap();
    assert_eq!((&bad["Stream"], &bad["ProcessId"]), (&"StdErr".into(), &first.id().into()));

    system.terminate().wait().unwrap();
    let rest = to_the_end(follow, fs::File::from(stdout));
    assert_eq!(rest, format!("three\n[{}] four\n", second.id()));
    assert_ne!(logs(&[]).output().unwrap().status.code(), Some(0), "there is no such system any more");
}

#[test]
fn what_the_kernel_of_a_machine_says_is_kept_without_being_asked_for() {
    let mut service = Service::start();
    let guest = Guest::make(service.root(), "echo ready; sleep 0.2; echo more; read line; poweroff -f");
    let mut document = guest.document().should_terminate_on_last_handle_closed(false);
    // Nobody has asked for a port either.
    let devices = document.virtual_machine.as_mut().and_then(|machine| machine.devices.as_mut()).unwrap();
    devices.com_ports = None;
    let system = service.running_from("vm", &document);
    let mut output = system.output(None, true).wait().unwrap();
    until(&mut output, "ready");
    until(&mut output, "more");
    service.kill();
    service.restart();
    let (said, _) = said_by(service.hcs().args(["logs", "vm"]));
    assert!(said.contains("ready") && said.contains("more"), "{said}");
    // Whoever wants to type something needs no port in the document.
    attach_and_type(&service, "vm");
    assert!(output.all(|said| said.unwrap().stream == OutputStream::Console), "it ends with the machine");
    service.await_nothing_left();
}

/// Types a line at the console of a machine from no terminal.
fn attach_and_type(service: &Service, id: &str) {
    use std::io::Write;
    let mut console = service.hcs().args(["console", id]).stdin(Stdio::piped()).spawn().unwrap();
    console.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert!(console.wait().unwrap().success());
}

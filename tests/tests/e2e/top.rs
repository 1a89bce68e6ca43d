//! `hcs top`, on a terminal and beside one.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use hcs_tests::{Service, processes};
use rustix::{process::Signal, termios::tcgetattr};
use serde_json::Value;

use crate::{
    cli::{terminal, text},
    process::await_line,
};

/// A host has not at every time a processor free for a second.
const LOOKS: usize = 3;

#[test]
fn the_busiest_system_comes_first_with_what_it_uses() {
    let service = Service::start();
    let client = service.client();
    let _idle = service.running(&client, "a-idle");
    let busy = service.running(&client, "b-busy");
    let _spinning = crate::run(&busy, &crate::script("while :; do :; done"));
    let arguments = ["top", "--once", "--interval", "1"];
    let mut shares = (0..LOOKS).map(|_| {
        let output = service.hcs().args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let lines: Vec<Vec<&str>> =
            text(&output.stdout).lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0][..3], ["ID", "STATE", "CPU"]);
        assert_eq!(lines[1][..2], ["b-busy", "Running"]);
        let percent = |line: &[&str]| line[2].trim_end_matches('%').parse::<f64>().unwrap();
        assert!(percent(&lines[1]) > percent(&lines[2]), "{lines:?}");
        percent(&lines[1])
    });
    assert!(shares.any(|share| share > 20.0), "a loop uses hardly anything");

    let mut shares = (0..LOOKS).map(|_| {
        let output = service.hcs().args(arguments).args(["--json", "B-b"]).output().unwrap();
        let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(seen["Systems"].as_array().unwrap().len(), 1);
        let one = &seen["Systems"][0];
        assert!(one["Id"] == "b-busy" && one["Answers"] == true, "{one}");
        assert!(one["MemoryBytes"].as_u64().unwrap() > 0 && one["Processes"].as_u64().unwrap() >= 1, "{one}");
        one["CpuPercent"].as_f64().unwrap()
    });
    assert!(shares.any(|share| share > 20.0), "a loop uses hardly anything");
}

#[test]
fn a_system_that_hangs_is_shown_with_question_marks_and_delays_nobody() {
    let service = Service::start();
    let client = service.client();
    let _well = service.running(&client, "well");
    let hung = service.running(&client, "hung");
    let worker = service.worker(&hung);
    processes::signal(worker, Signal::STOP);
    let began = Instant::now();
    let output = service.hcs().args(["top", "--once", "--interval", "1"]).output().unwrap();
    processes::signal(worker, Signal::CONT);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let shown = text(&output.stdout);
    let line =
        |id: &str| shown.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{shown}"));
    assert!(line("hung").contains(" ?") && !line("well").contains('?'), "{shown}");
}

#[test]
fn each_look_is_a_line_of_json() {
    let service = Service::start();
    let mut top =
        service.hcs().args(["top", "--json", "--interval", "0.2"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(top.stdout.take().unwrap()).lines().take(2);
    let looks: Vec<Value> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    top.kill().unwrap();
    top.wait().unwrap();
    assert_eq!(looks, vec![serde_json::json!({ "Systems": [] }); 2]);
}

#[test]
fn a_terminal_is_drawn_over_and_is_afterwards_as_it_was() {
    let service = Service::start();
    let client = service.client();
    let _system = service.running(&client, "web");
    for leave in ["q", "\u{3}", "SIGTERM"] {
        let (terminal, side) = terminal(10, 60);
        let before = tcgetattr(&side).unwrap();
        let mut top = service
            .hcs()
            .args(["top", "--interval", "0.2"])
            .stdin(side.try_clone().unwrap())
            .stdout(side.try_clone().unwrap())
            .stderr(side.try_clone().unwrap())
            .spawn()
            .unwrap();
        await_line(&terminal, "\u{1b}[?1049h");
        for _ in 0..2 {
            await_line(&terminal, "web  Running");
        }
        if leave == "SIGTERM" {
            processes::signal(top.id(), Signal::TERM);
        } else {
            crate::write_all(&terminal, leave);
        }
        await_line(&terminal, "\u{1b}[?25h\u{1b}[?1049l");
        assert!(top.wait().unwrap().success(), "{leave:?}");
        let after = tcgetattr(&side).unwrap();
        assert_eq!(
            (after.local_modes, after.output_modes),
            (before.local_modes, before.output_modes),
            "{leave:?}"
        );
        drop(File::from(side));
    }
}

//! The hcs command, as a person or a script uses it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{Read, Write},
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use hcs_tests::{Service, binaries, machine, processes};
use rustix::{
    process::Signal,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcgetattr, tcsetwinsize},
};

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is text")
}

fn with_input(command: &mut Command, input: &str) -> Output {
    let mut child: Child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starting hcs");
    // A command that does not read its input closes it early.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("waiting for hcs")
}

fn document(service: &Service) -> String {
    let path = service.rootfs().display().to_string();
    format!(
        r#"{{"Owner":"me","SchemaVersion":{{"Major":2,"Minor":1}},"Container":{{"Storage":{{"Path":"{path}"}}}}}}"#
    )
}

#[test]
fn a_container_goes_through_its_life_by_command() {
    let service = Service::start();
    let hcs = |arguments: &[&str]| service.hcs().args(arguments).output().expect("running hcs");
    let created = with_input(service.hcs().args(["create", "web", "-"]), &document(&service));
    assert!(created.status.success(), "{}", text(&created.stderr));
    let runtime_id = text(&created.stdout).trim().to_owned();
    assert!(hcs(&["start", "WEB"]).status.success());

    let listed = hcs(&["list"]);
    let lines: Vec<Vec<&str>> =
        text(&listed.stdout).lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "STATE", "TYPE", "OWNER", "RUNTIME-ID"]);
    assert_eq!(lines[1], ["web", "Running", "Container", "me", &runtime_id]);
    let json: serde_json::Value = serde_json::from_slice(&hcs(&["list", "--json"]).stdout).unwrap();
    assert_eq!(json[0]["RuntimeId"], runtime_id);

    let ran = hcs(&[
        "exec",
        "-w",
        "/tmp",
        "-e",
        "A=b c",
        "-u",
        "web",
        "web",
        "--",
        "sh",
        "-c",
        "pwd; echo $A; id -u; echo e >&2; exit 7",
    ]);
    assert_eq!(ran.status.code(), Some(7));
    assert_eq!((text(&ran.stdout), text(&ran.stderr)), ("/tmp\nb c\n1000\n", "e\n"));
    let long = "line\n".repeat(50_000);
    let echoed = with_input(service.hcs().args(["exec", "-i", "web", "cat"]), &long);
    assert!(text(&echoed.stdout) == long);
    let missing = hcs(&["exec", "web", "no-such-program"]);
    assert_eq!(missing.status.code(), Some(125));
    assert!(text(&missing.stderr).starts_with("hcs: ") && text(&missing.stderr).contains("no-such-program"));
    assert_eq!(hcs(&["exec", "nobody", "true"]).status.code(), Some(125));

    assert!(hcs(&["pause", "web"]).status.success());
    let properties: serde_json::Value = serde_json::from_slice(&hcs(&["props", "web"]).stdout).unwrap();
    assert_eq!(properties["State"], "Paused");
    assert_eq!(hcs(&["pause", "web"]).status.code(), Some(1));
    assert!(hcs(&["resume", "web"]).status.success());
    assert!(text(&hcs(&["ps", "web"]).stdout).lines().count() >= 2);
    let reply = hcs(&["call", "--system", "web", "GetComputeSystemProperties"]);
    let reply: serde_json::Value = serde_json::from_slice(&reply.stdout).unwrap();
    assert_eq!(reply["properties"]["State"], "Running");

    assert!(hcs(&["kill", "web"]).status.success());
    assert_eq!(text(&hcs(&["list"]).stdout).lines().count(), 1);
    let again = hcs(&["kill", "web"]);
    assert_eq!(again.status.code(), Some(3));
    assert_eq!(text(&again.stderr).lines().count(), 1, "a failure is one line");
}

#[test]
fn a_failure_keeps_its_exit_code_where_nobody_takes_its_message() {
    let service = Service::start();
    let full = File::options().write(true).open("/dev/full").expect("opening /dev/full");
    let status = service.hcs().args(["kill", "nobody"]).stderr(full).status().expect("running hcs");
    assert_eq!(status.code(), Some(3));
}

#[test]
fn an_image_of_a_utility_machine_is_small_and_the_same_each_time() {
    const MOST: u64 = 20_000_000;
    let service = Service::start();
    let parts = machine::parts(service.root()).map(|part| part.display().to_string());
    let folder = |name: &str| service.root().join(name);
    let build = |name: &str, modules: &str| {
        let folder = folder(name).display().to_string();
        let arguments = [
            "vm",
            "image",
            "build",
            &folder,
            "--kernel",
            &parts[0],
            "--modules",
            modules,
            "--agent",
            &parts[2],
        ];
        service.hcs().args(arguments).output().expect("running hcs")
    };
    for name in ["one", "two"] {
        let built = build(name, &parts[1]);
        assert!(built.status.success(), "{}", text(&built.stderr));
        println!("{}", text(&built.stdout));
    }
    let bytes = |name: &str, file: &str| fs::read(folder(name).join(file)).expect("a part of the image");
    for file in ["kernel", "initrd"] {
        assert!(bytes("one", file) == bytes("two", file), "{file} differs");
    }
    let size = (bytes("one", "kernel").len() + bytes("one", "initrd").len()) as u64;
    assert!(size < MOST, "{size}");
    let nothing = service.root().join("empty");
    fs::create_dir(&nothing).unwrap();
    let failed = build("three", nothing.to_str().unwrap());
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stderr).contains("no modules"), "{}", text(&failed.stderr));
    assert!(!folder("three").exists());
}

#[test]
fn a_signal_to_exec_reaches_the_process() {
    let service = Service::start();
    let client = service.client();
    let _system = service.running(&client, "web");
    for (signal, code) in [(Signal::INT, 21), (Signal::TERM, 22), (Signal::USR1, 23)] {
        let traps = "trap 'exit 21' INT; trap 'exit 22' TERM; trap 'exit 23' USR1; echo ready; while :; do sleep 0.02; done";
        let mut exec =
            service.hcs().args(["exec", "web", "sh", "-c", traps]).stdout(Stdio::piped()).spawn().unwrap();
        crate::process::await_line(&exec.stdout.take().unwrap().into(), "ready\n");
        processes::signal(exec.id(), signal);
        assert_eq!(exec.wait().unwrap().code(), Some(code), "{signal:?}");
    }
    let mut exec = service.hcs().args(["exec", "web", "sh", "-c", "kill -9 $$"]).spawn().unwrap();
    assert_eq!(exec.wait().unwrap().code(), Some(137));
}

#[test]
fn exec_has_one_thread_until_the_service_is_away_and_then_comes_back_to_it() {
    let mut service = Service::start();
    let client = service.client();
    let _system = service.running(&client, "web");
    let says = "trap 'exit 9' USR1; echo ready; while read line; do echo $line; done";
    let mut exec = service
        .hcs()
        .args(["exec", "-i", "web", "sh", "-c", &format!("{says}; while :; do sleep 0.02; done")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = exec.stdout.take().unwrap().into();
    crate::process::await_line(&stdout, "ready\n");
    // It and the one that reads the input.
    assert_eq!(processes::status(exec.id(), "Threads"), "2");
    drop(exec.stdin.take());
    hcs_tests::until("the input has ended", Duration::from_secs(5), || {
        processes::status(exec.id(), "Threads") == "1"
    });
    service.kill();
    hcs_tests::until("somebody looks for the service", Duration::from_secs(5), || {
        processes::status(exec.id(), "Threads") == "2"
    });
    service.restart();
    processes::signal(exec.id(), Signal::USR1);
    assert_eq!(exec.wait().unwrap().code(), Some(9));
}

#[test]
fn exec_ends_with_its_process_even_if_another_holds_the_output() {
    let service = Service::start();
    let client = service.client();
    let _system = service.running(&client, "web");
    let began = std::time::Instant::now();
    let ran = service.hcs().args(["exec", "web", "sh", "-c", "sleep 1000 & echo done"]).output().unwrap();
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(0), "done\n"));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn events_are_followed_across_a_restart_of_the_service() {
    let mut service = Service::start();
    let client = service.client();
    let _present = client.create("present", &service.document()).wait().unwrap();
    let mut events = service.hcs().args(["events", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = events.stdout.take().unwrap().into();
    crate::process::await_line(&stdout, "\"type\":\"present\"");
    let system = client.create("web", &service.document()).wait().unwrap();
    crate::process::await_line(&stdout, "\"type\":\"created\"");
    service.kill();
    service.restart();
    crate::process::await_line(&stdout, "\"type\":\"present\"");
    system.start().wait().unwrap();
    crate::process::await_line(&stdout, "\"type\":\"started\"");
    events.kill().unwrap();
    events.wait().unwrap();
}

#[test]
fn validate_names_every_mistake_and_the_likely_member() {
    // No service is needed.
    let hcs = || Command::new(hcs_tests::binaries::find("hcs"));
    let wrong = r#"{"Ownr":"me","SchemaVersion":{"Major":"2"},"Container":{"Memory":{"SizeInMb":3}}}"#;
    let checked = with_input(hcs().args(["validate", "-"]), wrong);
    assert_eq!(checked.status.code(), Some(1));
    let lines: Vec<&str> = text(&checked.stdout).lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("$.Ownr: ") && lines[0].contains("'Owner'"), "{lines:?}");
    assert!(lines[1].starts_with("$.SchemaVersion.Major: "), "{lines:?}");
    assert!(
        lines[2].starts_with("$.Container.Memory.SizeInMb: ") && lines[2].contains("'SizeInMB'"),
        "{lines:?}"
    );
    let right = r#"{"SchemaVersion":{"Major":2},"Container":{"Storage":{"Path":"/"}}}"#;
    assert!(with_input(hcs().args(["validate", "-"]), right).status.success());
}

#[test]
fn create_is_strict_unless_told_otherwise_and_refuses_what_would_end_at_once() {
    let service = Service::start();
    let create = |arguments: &[&str], document: &str| {
        with_input(service.hcs().args([&["create"], arguments, &["web", "-"]].concat()), document)
    };
    let typo = document(&service).replace("Owner", "Ownr");
    let refused = create(&[], &typo);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("$.Ownr") && text(&refused.stderr).contains("'Owner'"));
    let ending = document(&service).replacen('{', r#"{"ShouldTerminateOnLastHandleClosed":true,"#, 1);
    let refused = create(&[], &ending);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("$.ShouldTerminateOnLastHandleClosed"),
        "{}",
        text(&refused.stderr)
    );
    assert!(service.client().list(None).wait().unwrap().is_empty());
    let tolerated = create(&["--tolerant"], &typo);
    assert!(tolerated.status.success());
    assert!(text(&tolerated.stderr).contains("warning") && text(&tolerated.stderr).contains("$.Ownr"));
    assert!(service.hcs().args(["kill", "web"]).status().unwrap().success());
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let service = Service::start();
    let mut command = service.hcs();
    let mut child = command
        .args(["service", "properties", "ProcessorTopology", "Memory"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert_eq!(text(&ended.stderr), "");
    // And a service that is not there is told with what to do.
    let nowhere = service.hcs().args(["--socket", "/nowhere", "list"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(4));
    assert!(text(&nowhere.stderr).contains("hcsd"), "{}", text(&nowhere.stderr));
}

#[test]
fn exec_on_a_terminal_has_a_console_of_its_size_and_leaves_the_terminal_as_it_was() {
    let service = Service::start();
    let client = service.client();
    let _system = service.running(&client, "web");
    let (terminal, side) = terminal(24, 80);
    let before = tcgetattr(&side).unwrap();
    // The trap comes first: who reads what is printed may be quicker with Ctrl-C than the shell with its next word.
    let script = "trap 'echo interrupted; exit 3' INT; stty size; until [ \"$(stty size)\" = '40 100' ]; do sleep 0.02; done; echo grown
        read x; echo got $x; while :; do sleep 0.02; done";
    let mut exec = service
        .hcs()
        .args(["exec", "-it", "web", "--", "sh", "-c", script])
        .stdin(side.try_clone().unwrap())
        .stdout(side.try_clone().unwrap())
        .stderr(side.try_clone().unwrap())
        .spawn()
        .unwrap();
    crate::process::await_line(&terminal, "24 80");
    resize(&terminal, 40, 100);
    processes::signal(exec.id(), Signal::WINCH);
    crate::process::await_line(&terminal, "grown");
    crate::write_all(&terminal, "keys\r");
    crate::process::await_line(&terminal, "got keys");
    crate::write_all(&terminal, "\x03");
    crate::process::await_line(&terminal, "interrupted");
    assert_eq!(exec.wait().unwrap().code(), Some(3));
    assert_eq!(tcgetattr(&side).unwrap().local_modes, before.local_modes);
}

#[test]
fn a_list_is_coloured_on_a_terminal_unless_colours_are_not_wanted() {
    let service = Service::start();
    let _system = service.running(&service.client(), "web");
    let lines = |wanted: bool| {
        let (terminal, side) = terminal(24, 200);
        let mut list = service.hcs();
        list.arg("list").env("TERM", "xterm").env_remove("NO_COLOR").stdout(side);
        if !wanted {
            list.env("NO_COLOR", "1");
        }
        assert!(list.status().unwrap().success());
        // With the command its side of the terminal is held by nobody, so reading ends.
        drop(list);
        let mut said = Vec::new();
        let _ = File::from(terminal).read_to_end(&mut said);
        String::from_utf8(said).unwrap()
    };
    let coloured = lines(true);
    assert!(coloured.contains("\x1b[1mID\x1b[0m"), "{coloured:?}");
    assert!(coloured.contains("web  \x1b[32mRunning\x1b[0m  Container"), "{coloured:?}");
    assert!(!lines(false).contains('\x1b'));
}

/// A terminal of this size: our side, and the one for programs.
pub fn terminal(rows: u16, columns: u16) -> (OwnedFd, OwnedFd) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    resize(&terminal, rows, columns);
    let side = File::options()
        .read(true)
        .write(true)
        .open(ptsname(&terminal, Vec::new()).unwrap().to_str().unwrap())
        .unwrap();
    (terminal, side.into())
}

pub fn resize(terminal: &OwnedFd, rows: u16, columns: u16) {
    tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

/// The linker is told what `hcs` goes through most, by names. They are to be recorded anew when many have gone.
#[test]
fn what_the_linker_puts_together_is_there() {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/linking/hcs.functions");
    let list = fs::read_to_string(list).unwrap();
    // Those of Rust.
    let wanted: BTreeSet<&str> =
        list.lines().filter_map(|name| name.strip_prefix("_ZN")?.strip_suffix('E')).collect();
    assert!(wanted.len() > 400, "{} functions are listed", wanted.len());
    let symbols = Command::new("nm").arg(binaries::find("hcs")).output().expect("running nm");
    // The digits of the build are of no account.
    fn bare(line: &str) -> Option<&str> {
        Some(line.rsplit_once(" _ZN")?.1.rsplit_once("17h")?.0)
    }
    let there: BTreeSet<&str> = text(&symbols.stdout).lines().filter_map(bare).collect();
    let missing: Vec<&&str> = wanted.difference(&there).collect();
    assert!(missing.len() * 10 < wanted.len(), "{} of {} are gone: {missing:?}", missing.len(), wanted.len());
}

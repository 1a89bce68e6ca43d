//! What shells complete, typed at one; and the pages of the manual, read by who reads them.

use std::{
    io::Write,
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use hcs_tests::{Service, binaries, folder::Folder};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    cli::{terminal, text},
    process::await_line,
};

/// The path that has the shipped programs first.
fn path() -> String {
    let programs = binaries::find("hcs");
    format!("{}:{}", programs.parent().unwrap().display(), std::env::var("PATH").unwrap())
}

#[test]
fn a_shell_completes_verbs_ids_and_properties_as_they_are_at_the_moment() {
    let service = Service::start();
    let client = service.client();
    let _system = service.running(&client, "webserver");
    let (terminal, side) = terminal(24, 200);
    let mut shell = Command::new("bash")
        .args(["--norc", "--noprofile", "-i"])
        .env("PATH", path())
        .env("HCS_ROOT", service.root())
        .env_remove("HCS_SOCKET")
        .env("TERM", "dumb")
        .stdin(side.try_clone().unwrap())
        .stdout(side.try_clone().unwrap())
        .stderr(side)
        .spawn()
        .unwrap();
    crate::write_all(&terminal, "source <(hcs completion bash); echo rea''dy\n");
    await_line(&terminal, "ready");
    crate::write_all(&terminal, "hcs kil\t");
    await_line(&terminal, "hcs kill ");
    crate::write_all(&terminal, "web");
    completes(&terminal, "webserver ");
    // Ctrl-U takes the line back.
    crate::write_all(&terminal, "\u{15}hcs props webserver Memo");
    completes(&terminal, "Memory ");
    crate::write_all(&terminal, "\u{15}exit\n");
    assert!(shell.wait().unwrap().success());
}

/// Presses the key until the word is there: of a service that does not answer at once nothing is offered.
fn completes(terminal: &OwnedFd, word: &str) {
    const PAUSE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
    let (mut shown, mut buffer) = (String::new(), [0; 1024]);
    while !shown.contains(word) {
        crate::write_all(terminal, "\t");
        while poll(&mut [PollFd::new(terminal, PollFlags::IN)], Some(&PAUSE)).unwrap() > 0 {
            let length = rustix::io::read(terminal, &mut buffer).unwrap();
            shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
            if shown.contains(word) {
                break;
            }
        }
    }
}

/// What bash is offered for a line, from the function that the script gives it.
fn offered(words: &str, count: usize, last: &str, variables: &[(&str, &str)]) -> String {
    let script = format!(
        "source <(hcs completion bash); COMP_WORDS=({words}); COMP_CWORD={count}; COMP_TYPE=9
        _clap_complete_hcs hcs '{last}'; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", &script]).env("PATH", path()).envs(variables.iter().copied());
    let output = command.env_remove("HCS_SOCKET").output().unwrap();
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout).to_owned()
}

#[test]
fn without_a_service_nothing_is_offered_and_nothing_is_said() {
    let folder = Folder::new();
    let root = folder.path().display().to_string();
    let ids = offered("hcs kill ''", 2, "", &[("HCS_ROOT", &root)]);
    assert!(!ids.lines().any(|line| !line.is_empty() && !line.starts_with('-')), "{ids:?}");
    let images = offered("hcs image export ''", 3, "", &[("HCS_ROOT", &root)]);
    assert!(!images.lines().any(|line| !line.is_empty() && !line.starts_with('-')), "{images:?}");
}

#[test]
fn names_of_images_are_completed() {
    let images = crate::images::Images::new();
    let layout = images.layout().display().to_string();
    images.done(&["import", &layout, "--name", "webserver"]);
    let root = images.path().display().to_string();
    let names = offered("hcs image inspect we", 3, "we", &[("HCS_ROOT", &root)]);
    assert_eq!(names.trim_end(), "webserver:latest");
}

#[test]
fn other_shells_have_their_scripts() {
    for (shell, word) in [("zsh", "#compdef hcs"), ("fish", "complete")] {
        let output = Command::new(binaries::find("hcs")).args(["completion", shell]).output().unwrap();
        assert!(output.status.success() && text(&output.stdout).contains(word), "{shell}");
        let Ok(mut checker) = Command::new(shell).arg("-n").stdin(Stdio::piped()).spawn() else { continue };
        checker.stdin.take().unwrap().write_all(&output.stdout).unwrap();
        assert!(checker.wait().unwrap().success(), "{shell} does not understand its script");
    }
}

#[test]
fn the_manual_has_a_page_of_every_verb_without_a_mistake() {
    let folder = Folder::new();
    let written = Command::new(binaries::find("hcs")).arg("man").arg(folder.path()).status().unwrap();
    assert!(written.success());
    let pages = folder.names();
    assert!(pages.len() > 30 && pages.contains(&"hcs-image-pull.1".to_owned()), "{pages:?}");
    for page in pages {
        let read = Command::new("groff").args(["-man", "-Tutf8", "-ww"]).arg(folder.join(&page)).output();
        let read = read.expect("groff");
        assert_eq!(text(&read.stderr), "", "{page}");
    }
}

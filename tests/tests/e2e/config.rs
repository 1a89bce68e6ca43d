//! The configuration file: what it sets, what beats it, and what is said of its mistakes.

use std::{
    fs,
    process::{Command, Output},
};

use hcs_tests::{Service, binaries, folder::Folder};

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_service_runs_by_its_file() {
    let service = Service::start_configured("max-connections = 2\nmax-crash-reports = 1\nlog = \"debug\"\n");
    let client = service.client();
    for number in ["1", "2"] {
        let report = format!("{{\"SystemId\": \"{number}\"}}");
        client
            .link()
            .call_wait(&hcs::compute::SubmitWerReport {
                report: hcs::schema::Any::from_text(&report).unwrap(),
            })
            .unwrap();
    }
    let kept = client.link().call_wait(&hcs::compute::ListCrashReports {}).unwrap().0.reports;
    assert_eq!(kept.iter().map(|report| report.id.as_str()).collect::<Vec<_>>(), ["2"]);
    // Each client has a connection for calls and one for events.
    let one_too_many = service.hcs().arg("list").output().unwrap();
    assert!(said(&one_too_many).2.contains("too many connections"), "{one_too_many:?}");
    drop(client);
    let list = || service.hcs().arg("list").output().unwrap().status.success();
    hcs_tests::until("room for a connection", std::time::Duration::from_secs(5), list);
}

#[test]
fn a_call_for_which_there_is_no_room_is_told_so() {
    // There is room for the connection for events.
    let service = Service::start_configured("max-connections = 1\n");
    let client = service.client();
    let refused = client.link().call_wait(&hcs::compute::ListCrashReports {}).unwrap_err();
    assert_eq!(refused.cause, hcs::Cause::NotEnoughQuota, "{refused}");
}

#[test]
fn an_argument_beats_a_variable_and_a_variable_the_file() {
    let service = Service::start_configured("max-connections = 3\ngroup = \"root\"\n");
    let show = |variable: &str| {
        let output = service
            .hcs()
            .args(["config", "show"])
            .env("HCS_ROOT", service.root())
            .env("HCS_GROUP", variable)
            .output()
            .unwrap();
        said(&output).1
    };
    let file = service.root().join("etc/config.toml").display().to_string();
    let shown = show("operators");
    let has = |line: &str, from: &str| {
        let found = shown
            .lines()
            .find(|shown| shown.starts_with(line))
            .unwrap_or_else(|| panic!("no {line} in {shown}"));
        assert!(found.ends_with(&format!("# {from}")), "{found}");
    };
    has("group = \"operators\"", "HCS_GROUP");
    has("max-connections = 3", &file);
    has("max-crash-reports = 64", "as usual");
    has(&format!("state-folder = \"{}\"", service.root().join("lib").display()), "as usual");
    // What is shown is a file itself, and says the same.
    let copy = service.root().join("copy.toml");
    fs::write(&copy, &shown).unwrap();
    let checked = service.hcs().args(["config", "check"]).arg(&copy).output().unwrap();
    assert_eq!(said(&checked), (Some(0), format!("{} is valid\n", copy.display()), String::new()));

    // The service itself: each of the three would make it end for another reason.
    let refused = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = Command::new(binaries::find("hcsd"));
        command.arg("--config").arg(service.root().join("etc/config.toml")).env_remove("NOTIFY_SOCKET");
        command.envs(variables.iter().copied()).args(arguments);
        said(&command.output().unwrap()).2
    };
    fs::write(service.root().join("etc/config.toml"), "group = \"bad name\"\n").unwrap();
    assert!(refused(&[], &[]).contains("config.toml, line 1: group: found \"bad name\""));
    let variable = [("HCS_GROUP", "bad/variable")];
    // The file is not even looked at before what beats it is found good.
    assert!(refused(&variable, &[]).contains("HCS_GROUP: found \"bad/variable\""));
    let both = refused(&variable, &["--group=bad/argument"]);
    assert!(both.contains("--group: found \"bad/argument\""), "{both}");
}

#[test]
fn every_mistake_of_a_file_is_told_by_the_service_and_by_the_command() {
    let folder = Folder::new();
    fs::create_dir(folder.join("etc")).unwrap();
    let file = folder.join("etc/config.toml");
    fs::write(&file, "log = \"info\"\nmax_conections = 5\nguest-patience = \"long\"\n").unwrap();
    let lines = format!(
        "{0}, line 2: max_conections: there is no such setting; did you mean max-connections?\n\
         {0}, line 3: guest-patience: found a string (long); allowed is a whole number from 1 on\n",
        file.display()
    );
    let hcsd = Command::new(binaries::find("hcsd")).arg("--root").arg(folder.path()).output().unwrap();
    assert_eq!(said(&hcsd), (Some(78), String::new(), format!("hcsd: {lines}")));
    assert_eq!(folder.names(), ["etc"], "the service has begun to work");
    let mut hcs = Command::new(binaries::find("hcs"));
    let hcs = hcs
        .args(["config", "check"])
        .env("HCS_ROOT", folder.path())
        .env_remove("HCS_CONFIG")
        .output()
        .unwrap();
    assert_eq!(said(&hcs), (Some(1), lines, format!("hcs: {} has 2 mistakes\n", file.display())));
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let folder = Folder::new();
    for (program, arguments, expected) in [("hcsd", &["--config"][..], 78), ("hcs", &["config", "check"], 1)]
    {
        let output =
            Command::new(binaries::find(program)).args(arguments).arg(folder.join("none")).output().unwrap();
        let (code, _, error) = said(&output);
        assert_eq!(code, Some(expected));
        assert!(error.contains("none") && error.contains("No such file"), "{program}: {error}");
    }
    let output = Command::new(binaries::find("hcs"))
        .args(["config", "check"])
        .env("HCS_ROOT", folder.path())
        .output()
        .unwrap();
    assert!(said(&output).1.contains("everything is as usual"));
}

#[test]
fn another_group_may_use_the_service() {
    use std::os::unix::{fs::MetadataExt, process::CommandExt};
    const NOBODY: u32 = 65_534;
    let service = Service::start_configured("group = \"nogroup\"\n");
    assert_eq!(fs::metadata(service.socket()).unwrap().gid(), NOBODY);
    let program = service.root().join("hcs");
    hcs_tests::rootfs::copy_program(&binaries::find("hcs"), &program);
    let list = |gid: u32| {
        Command::new(&program)
            .arg("--socket")
            .arg(service.socket())
            .arg("list")
            .uid(NOBODY)
            .gid(gid)
            .output()
            .unwrap()
    };
    assert_eq!(list(NOBODY).status.code(), Some(0));
    assert_ne!(list(NOBODY - 1).status.code(), Some(0));
}

//! Processes whose parameters have an OciProcess.

use hcs::{
    Cause, System,
    schema::{OciProcess, ProcessParameters},
};

use crate::{contained, exit_code, read_all, refused, run};

/// Parameters with this OCI process.
fn parameters(process: &str) -> ProcessParameters {
    let process: OciProcess = serde_json::from_str(process).expect("an OCI process");
    ProcessParameters::default().oci_process(process).create_std_out_pipe(true).create_std_err_pipe(true)
}

/// What the process says, which must succeed.
fn output(system: &System, process: &str) -> String {
    let mut process = run(system, &parameters(process));
    let said = read_all(process.pipes.stdout.take());
    let complaint = read_all(process.pipes.stderr.take());
    assert_eq!(exit_code(&process), 0, "{complaint}");
    said
}

#[test]
fn user_directory_and_environment_are_those_of_the_specification() {
    let (_service, system) = contained();
    let said = output(
        &system,
        r#"{"args":["sh","-c","id -u; id -G; umask; pwd; echo $A $B $HOME"],"cwd":"/tmp",
            "env":["A=no","B=two words","A=yes"],
            "user":{"uid":1000,"gid":1001,"additionalGids":[29,7777],"umask":63}}"#,
    );
    assert_eq!(said, "1000\n1001 29 7777\n0077\n/tmp\nyes two words /home/web\n");
    let said = output(&system, r#"{"args":["id","-un"],"user":{"username":"web"}}"#);
    assert_eq!(said, "web\n");
}

/// A line of the status of a process that prints its own.
fn status(system: &System, member: &str, rest: &str) -> String {
    let said = output(system, &format!(r#"{{"args":["grep","^{member}:","/proc/self/status"]{rest}}}"#));
    said.split_whitespace().nth(1).expect("a value").to_owned()
}

#[test]
fn the_five_sets_of_capabilities_are_exactly_those_that_are_asked_for() {
    let (_service, system) = contained();
    let sets = r#","capabilities":{"bounding":["CAP_KILL","CAP_CHOWN","CAP_NET_RAW"],
        "effective":["CAP_KILL"],"permitted":["CAP_KILL","CAP_CHOWN"],"inheritable":["CAP_KILL"],
        "ambient":["CAP_KILL"]}"#;
    // Running a program makes of root's sets what its bounding set allows; another user keeps the ambient ones.
    for (user, set, expected) in [
        ("", "CapBnd", 0x2021),
        ("", "CapPrm", 0x2021),
        (r#","user":{"uid":1000,"gid":1001}"#, "CapBnd", 0x2021),
        (r#","user":{"uid":1000,"gid":1001}"#, "CapEff", 0x20),
        (r#","user":{"uid":1000,"gid":1001}"#, "CapPrm", 0x20),
        (r#","user":{"uid":1000,"gid":1001}"#, "CapInh", 0x20),
        (r#","user":{"uid":1000,"gid":1001}"#, "CapAmb", 0x20),
    ] {
        let held = status(&system, set, &format!("{sets}{user}"));
        assert_eq!(u64::from_str_radix(&held, 16), Ok(expected), "{set} {user}");
    }
    let none = r#","capabilities":{}"#;
    assert_eq!(status(&system, "CapEff", none), "0000000000000000");
    assert_eq!(status(&system, "CapBnd", none), "0000000000000000");
}

#[test]
fn a_process_may_gain_privileges_if_it_is_not_forbidden_and_is_filtered_all_the_same() {
    let (_service, system) = contained();
    for (rest, expected) in
        [("", "0"), (r#","noNewPrivileges":false"#, "0"), (r#","noNewPrivileges":true"#, "1")]
    {
        assert_eq!(status(&system, "NoNewPrivs", rest), expected, "{rest}");
        assert_eq!(status(&system, "Seccomp", rest), "2", "{rest}");
    }
    let unprivileged = r#","noNewPrivileges":false,"user":{"uid":1000,"gid":1001}"#;
    assert_eq!(status(&system, "Seccomp", unprivileged), "2");
    assert_eq!(status(&system, "CapEff", unprivileged), "0000000000000000");
}

#[test]
fn limits_scheduling_and_processors_are_in_force() {
    let (_service, system) = contained();
    let said = output(
        &system,
        r#"{"args":["sh","-c","ulimit -Sn; ulimit -Hn; ulimit -Sc; cat /proc/self/oom_score_adj"],
            "rlimits":[{"type":"RLIMIT_NOFILE","soft":100,"hard":200},
                       {"type":"RLIMIT_CORE","soft":0,"hard":0}],"oomScoreAdj":321}"#,
    );
    assert_eq!(said, "100\n200\n0\n321\n");
    // Fields 19 and 41 of stat: niceness and policy; SCHED_BATCH is 3.
    let said = output(
        &system,
        r#"{"args":["cut","-d"," ","-f19,41","/proc/self/stat"],
            "scheduler":{"policy":"SCHED_BATCH","nice":5},
            "ioPriority":{"class":"IOPRIO_CLASS_BE","priority":6}}"#,
    );
    assert_eq!(said, "5 3\n");
    let said = output(&system, r#"{"args":["ionice","-p","1"]}"#);
    assert!(!said.is_empty());
    let said = output(
        &system,
        r#"{"args":["sh","-c","ionice -p $$"],"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":6}}"#,
    );
    assert!(said.contains("prio 6"), "{said}");
    let said = output(
        &system,
        r#"{"args":["grep","Cpus_allowed_list","/proc/self/status"],"execCPUAffinity":{"final":"0"}}"#,
    );
    assert_eq!(said.split_whitespace().nth(1), Some("0"));
}

#[test]
fn a_terminal_is_a_console_of_its_size() {
    let (_service, system) = contained();
    let mut process = run(
        &system,
        &parameters(r#"{"args":["stty","size"],"terminal":true,"consoleSize":{"height":31,"width":77}}"#),
    );
    let console = process.pipes.stdout.take().expect("a console");
    crate::process::await_line(&console, "31 77");
    assert_eq!(exit_code(&process), 0);
}

#[test]
fn what_cannot_be_done_is_refused_by_name_and_contradictions_name_both_places() {
    let (_service, system) = contained();
    // With AppArmor it is the profile that is not there.
    let has_apparmor = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|on| on.starts_with('Y'));
    let without_apparmor = if has_apparmor { Cause::FileNotFound } else { Cause::NotSupported };
    for (process, cause, path) in [
        (r#"{"args":["true"],"apparmorProfile":"no-such-profile"}"#, without_apparmor, "apparmorProfile"),
        (r#"{"args":["true"],"apparmorProfile":"a\nb"}"#, Cause::InvalidData, "apparmorProfile"),
        (r#"{"args":["true"],"selinuxLabel":"x"}"#, Cause::NotSupported, "selinuxLabel"),
        (r#"{"args":["true"],"cwd":"tmp"}"#, Cause::InvalidData, "cwd"),
        (r#"{"args":["true"],"env":["A"]}"#, Cause::InvalidData, "env[0]"),
        (
            r#"{"args":["true"],"capabilities":{"effective":["CAP_KILL"]}}"#,
            Cause::InvalidData,
            "capabilities.effective",
        ),
        (
            r#"{"args":["true"],"rlimits":[{"type":"RLIMIT_CORE","soft":2,"hard":1}]}"#,
            Cause::InvalidData,
            "rlimits[0].soft",
        ),
        (r#"{"args":["true"],"oomScoreAdj":1001}"#, Cause::InvalidData, "oomScoreAdj"),
        (
            r#"{"args":["true"],"execCPUAffinity":{"final":"3-1"}}"#,
            Cause::InvalidData,
            "execCPUAffinity.final",
        ),
    ] {
        let error = refused(system.run(&parameters(process)).wait(), cause);
        let path = format!("$.OciProcess.{path}");
        assert!(error.to_string().contains(&path), "{error} names {path}");
    }
    let twice = parameters(r#"{"args":["true"]}"#).command_line("false");
    let error = refused(system.run(&twice).wait(), Cause::InvalidData);
    assert!(error.to_string().contains("$.CommandLine"), "{error}");
    assert!(error.to_string().contains("$.OciProcess.args"), "{error}");
}

//! What a process in a container cannot do.

use std::{path::Path, process::Command};

use hcs::System;
use hcs_tests::Service;

use crate::{command, contained, output, read_all, run};

/// Builds a program for a container, from a source beside the tests.
pub fn build(service: &Service, name: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("c/{name}.c"));
    let built = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Werror", "-static", "-o"])
        .arg(service.rootfs().join("bin").join(name))
        .arg(source)
        .output()
        .expect("running the compiler");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

#[test]
fn calls_that_reach_the_host_are_refused() {
    let (service, system) = contained();
    build(&service, "refused_calls");
    let expected = [
        ("keyctl", "EPERM"),
        ("unshare", "EPERM"),
        // So that libraries fall back to clone, whose flags a filter can see.
        ("clone3", "ENOSYS"),
        ("clone", "EPERM"),
        ("mount", "EPERM"),
        ("umount", "EPERM"),
        ("bpf", "EPERM"),
        ("vsock", "EPERM"),
        ("open_by_handle_at", "EPERM"),
        ("sethostname", "EPERM"),
        ("mknod", "EPERM"),
        ("trace init", "EPERM"),
        ("memory of init", "EACCES"),
    ];
    let expected: Vec<String> = expected.iter().map(|(call, end)| format!("{call} {end}")).collect();
    let said = output(&system, "/bin/refused_calls");
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    system.terminate().wait().unwrap();
}

#[test]
fn of_each_kind_of_call_what_programs_live_by_is_made_and_the_rest_refused_for_root_and_others() {
    const REFUSED: usize = if cfg!(target_arch = "x86_64") { 39 } else { 37 };
    const MADE: usize = 17;
    let (service, system) = contained();
    build(&service, "refused_calls");
    for user in ["root", "web"] {
        let mut process = run(&system, &command(&["refused_calls", "each"]).user(user));
        let said = read_all(process.pipes.stdout.take());
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), REFUSED + MADE, "{said}");
        let (refused, made) = lines.split_at(REFUSED);
        assert!(refused.iter().all(|line| line.ends_with(" EPERM")), "as {user}: {refused:?}");
        assert!(made.iter().all(|line| line.ends_with(" done")), "as {user}: {made:?}");
    }
    system.terminate().wait().unwrap();
}

/// A line of /proc/self/status.
fn status(system: &System, member: &str) -> String {
    let line = output(system, &format!("grep ^{member}: /proc/self/status"));
    line.split_whitespace().nth(1).expect("a value").to_owned()
}

#[test]
fn every_process_is_filtered_and_cannot_gain_privileges() {
    let (_service, system) = contained();
    assert_eq!(status(&system, "Seccomp"), "2");
    assert_eq!(status(&system, "NoNewPrivs"), "1");
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        let held = u64::from_str_radix(&status(&system, set), 16).expect("a number");
        // SYS_ADMIN, SYS_PTRACE, SYS_MODULE, SYS_RAWIO, NET_ADMIN, MKNOD, DAC_READ_SEARCH.
        for forbidden in [21, 19, 16, 17, 12, 27, 2] {
            assert_eq!(held >> forbidden & 1, 0, "{set} has capability {forbidden}");
        }
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&status(&system, set), 16), Ok(0), "{set}");
    }
    system.terminate().wait().unwrap();
}

#[test]
fn a_process_sees_its_standard_streams_and_nothing_else_of_the_host() {
    let (_service, system) = contained();
    // ls itself opens the folder that it lists.
    let open = output(&system, "exec ls /proc/self/fd");
    assert_eq!(open.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    let devices = output(&system, "ls /dev");
    let expected =
        "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero".split(' ');
    assert_eq!(devices.split_whitespace().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    // The worker's program, which is init's as well, and what init holds cannot be reached.
    for link in ["/proc/1/exe", "/proc/1/root", "/proc/1/cwd", "/proc/1/fd/*"] {
        let said = output(&system, &format!("readlink {link} 2>/dev/null; cat {link} 2>/dev/null | wc -c"));
        assert_eq!(said.trim(), "0", "{link}");
    }
    system.terminate().wait().unwrap();
}

#[test]
fn settings_of_the_kernel_cannot_be_written_and_its_secrets_not_read() {
    let (_service, system) = contained();
    for path in ["/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches", "/proc/irq/default_smp_affinity"] {
        let said = output(&system, &format!("(echo x > {path}) 2>&1 | grep -c 'Read-only'"));
        assert_eq!(said.trim(), "1", "{path}");
    }
    assert_eq!(
        output(&system, "wc -c < /proc/keys; ls /sys/firmware | wc -l")
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["0", "0"]
    );
    assert_eq!(output(&system, "(echo x > /sys/kernel/mm/ksm/run) 2>&1 | grep -c Read-only").trim(), "1");
    system.terminate().wait().unwrap();
}

//! What the peers run: a bundle with the namespaces, mounts, limits and filter that our containers have.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::Outcome;

/// The program that every side runs: it does nothing.
pub const PROGRAM: &str = "/bin/nothing";

/// Makes a root file system with the program.
pub fn root_fs(at: &Path) -> Outcome {
    fs::create_dir_all(at.join("bin"))?;
    for folder in ["proc", "sys", "dev", "tmp", "etc"] {
        fs::create_dir_all(at.join(folder))?;
    }
    let source = at.with_extension("c");
    fs::write(&source, "#include <unistd.h>\nint main(int n, char **a) { if (n > 1) pause(); return 0; }\n")?;
    let program = at.join(PROGRAM.trim_start_matches('/'));
    let built = Command::new("cc").args(["-O2", "-static", "-o"]).arg(program).arg(source).status()?;
    if built.success() { Ok(()) } else { Err("the static test program could not be built".into()) }
}

/// Writes a bundle whose process ends at once, or waits for its end, in the cgroup `group`.
pub fn write(at: &Path, root_fs: &Path, group: &str, waits: bool) -> Outcome {
    fs::create_dir_all(at)?;
    let arguments = if waits { json!([PROGRAM, "wait"]) } else { json!([PROGRAM]) };
    fs::write(at.join("config.json"), configuration(root_fs, group, &arguments).to_string())?;
    Ok(())
}

fn configuration(root_fs: &Path, group: &str, arguments: &Value) -> Value {
    let capabilities = [
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SYS_CHROOT",
        "AUDIT_WRITE",
        "SETFCAP",
    ];
    let capabilities: Vec<String> = capabilities.iter().map(|name| format!("CAP_{name}")).collect();
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"].map(|kind| json!({"type": kind}));
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": kind, "options": options});
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": arguments, "env": ["PATH=/bin"], "cwd": "/",
            "noNewPrivileges": true,
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
        },
        "root": {"path": root_fs, "readonly": false},
        "hostname": "bench",
        "mounts": [
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ],
        "linux": {
            "namespaces": namespaces,
            "cgroupsPath": group,
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
                "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
                "/sys/devices/virtual/powercap", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            "resources": {"pids": {"limit": 32768}},
            "seccomp": filter(),
        },
    })
}

/// The calls that our default profile allows. Conditions on arguments are left out, which favours the peers a little.
const ALLOWED_CALLS: &str = include_str!("allowed_calls.txt");

/// The peers compile it each time, or keep it compiled; that is part of what they cost.
fn filter() -> Value {
    let names: Vec<&str> = ALLOWED_CALLS.lines().collect();
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    })
}

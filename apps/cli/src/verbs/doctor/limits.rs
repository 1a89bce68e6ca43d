//! How much there is of what runs out.

use std::path::Path;

use hcs::compute::HostReport;

use super::{check::Check, host::Host};

/// A service with a few hundred systems has this many files open.
const FEW_FILES: u64 = 4096;
const FEW_PIDS: u64 = 32_768;
/// Every container with a program that watches files takes one.
const FEW_WATCHERS: u64 = 128;
const LITTLE_MEMORY: u64 = 256 << 20;
/// Records of systems are small; what stays holds images.
const LITTLE_TO_RUN: u64 = 16 << 20;
const LITTLE_TO_KEEP: u64 = 1 << 30;

/// Looks at it all.
pub fn checks(host: &Host, report: Option<&HostReport>) -> Vec<Check> {
    let (run, state) = match report {
        Some(report) => (report.run_folder.as_str(), report.state_folder.as_str()),
        None => ("/run", "/var/lib"),
    };
    let mut checks = vec![
        pids(host),
        watchers(host.number("proc/sys/fs/inotify/max_user_instances").unwrap_or(0)),
        memory(&host.read("proc/meminfo")),
        space("run folder", run, free(run), LITTLE_TO_RUN),
        space("state folder", state, free(state), LITTLE_TO_KEEP),
    ];
    checks.extend(report.map(|report| files(report.open_files)));
    checks
}

fn files(most: u64) -> Check {
    if most > FEW_FILES {
        return Check::ok("open files", format!("the service may have {most}"));
    }
    let advice = "Give the service more: LimitNOFILE=65536 in its unit, or ulimit -n.";
    Check::warning("open files", format!("the service may have {most}"), advice)
}

fn pids(host: &Host) -> Check {
    let numbers = host.number("proc/sys/kernel/pid_max").unwrap_or(0);
    let threads = host.number("proc/sys/kernel/threads-max").unwrap_or(0);
    let found = format!("{} at a time", numbers.min(threads));
    if numbers.min(threads) >= FEW_PIDS {
        return Check::ok("processes", found);
    }
    Check::warning("processes", found, "sysctl kernel.pid_max=4194304 kernel.threads-max=100000")
}

fn watchers(most: u64) -> Check {
    if most >= FEW_WATCHERS {
        return Check::ok("inotify", format!("{most} watchers of each user"));
    }
    Check::warning(
        "inotify",
        format!("{most} watchers of each user"),
        "sysctl fs.inotify.max_user_instances=1024",
    )
}

fn memory(meminfo: &str) -> Check {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes =
        line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok());
    let free = kilobytes.unwrap_or(0u64) << 10;
    let found = format!("{} MiB can be had", free >> 20);
    if free >= LITTLE_MEMORY {
        return Check::ok("memory", found);
    }
    Check::warning("memory", found, "End something, or give systems limits (Memory.SizeInMB).")
}

/// How many bytes can be written at a path that is there, or at what is above it.
fn free(path: &str) -> Option<u64> {
    let path = Path::new(path).ancestors().find(|path| path.exists())?;
    let about = rustix::fs::statvfs(path).ok()?;
    Some(about.f_bavail * about.f_frsize)
}

fn space(name: &'static str, path: &str, free: Option<u64>, little: u64) -> Check {
    let found = match free {
        Some(free) if free >= little => return Check::ok(name, format!("{path}, {} MiB free", free >> 20)),
        Some(free) => format!("{path}, {} MiB free", free >> 20),
        None => format!("{path} cannot be looked at"),
    };
    Check::warning(name, found, "Make room: hcs image prune, hcs cleanup.")
}

#[cfg(test)]
mod tests {
    use super::{super::check::State, *};

    #[test]
    fn little_is_a_warning_and_enough_is_not() {
        assert_eq!((files(1024).state, files(65_536).state), (State::Warning, State::Ok));
        assert_eq!((watchers(1).state, watchers(128).state), (State::Warning, State::Ok));
        let full = space("state folder", "/var/lib/hcs", Some(5 << 20), LITTLE_TO_KEEP);
        assert_eq!((full.state, full.found.as_str()), (State::Warning, "/var/lib/hcs, 5 MiB free"));
        assert_eq!(space("state folder", "/var", Some(2 << 30), LITTLE_TO_KEEP).state, State::Ok);
        let recorded =
            "MemTotal:       24596904 kB\nMemFree:        20000000 kB\nMemAvailable:     100000 kB\n";
        assert_eq!(
            (memory(recorded).state, memory(recorded).found.as_str()),
            (State::Warning, "97 MiB can be had")
        );
    }
}

//! Processor time: of this process's children, and of a service with all that it has started.

use std::{fs, time::Duration};

use rustix::param::clock_ticks_per_second;

use crate::Outcome;

/// The processor time that a process and its dead children have used.
pub fn of(pid: u32) -> Outcome<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').ok_or("a line of /proc")?.1.split_whitespace().collect();
    // utime, stime, cutime, cstime.
    let ticks: u64 = fields[11..15].iter().map(|field| field.parse::<u64>()).sum::<Result<_, _>>()?;
    Ok(Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64))
}

/// The processor time of the calling process and its dead children.
pub fn own() -> Outcome<Duration> {
    of(std::process::id())
}

/// Whether the kernel's setting that makes joining a cgroup quick for everybody is on. It cannot be switched off
/// again, so nothing here switches it on.
pub fn favours_dynamic_cgroups() -> bool {
    fs::read_to_string("/proc/self/mountinfo").is_ok_and(|mounts| mounts.contains("favordynmods"))
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

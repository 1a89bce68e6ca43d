//! The processes of a container, read from its cgroup and from /proc.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use hcs_core::{Error, timestamp};
use hcs_schema::ProcessDetails;

use crate::cgroup::Cgroup;

/// By which of its numbers a process is called: the host's, or the container's.
pub(crate) const HERE: usize = 0;
pub(crate) const INSIDE: usize = 1;

/// Lists the processes. One that ends meanwhile is left out, and so is the helper on the host.
pub(crate) fn read(cgroup: &Cgroup, helper: Option<u32>, level: usize) -> Result<Vec<ProcessDetails>, Error> {
    let boot = boot_time();
    let inside = cgroup.processes()?.into_iter().filter(|pid| Some(*pid) != helper);
    let mut list: Vec<ProcessDetails> = inside.filter_map(|pid| details(pid, boot, level)).collect();
    list.sort_by_key(|process| process.process_id);
    Ok(list)
}

fn details(pid: u32, boot: Option<SystemTime>, level: usize) -> Option<ProcessDetails> {
    // What a process calls itself may be any bytes.
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).ok();
    let (stat, status) = (read("stat")?, read("status")?);
    let (stat, status) = (String::from_utf8_lossy(&stat), String::from_utf8_lossy(&status));
    // The name is in parentheses and may itself contain any character.
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<u64> = rest.split_whitespace().skip(1).map(|field| field.parse().unwrap_or(0)).collect();
    let ticks = |index: usize| fields.get(index).copied().unwrap_or(0);
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let hundred_ns = |ticks: u64| ticks * (10_000_000 / per_second);
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
    };
    // The host's number, the container's, those of namespaces in it.
    let inside =
        status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().nth(level)?;
    Some(ProcessDetails {
        process_id: inside.parse().ok(),
        image_name: Some(name.to_owned()),
        create_timestamp: boot
            .map(|boot| timestamp::format(boot + Duration::from_millis(ticks(18) * 1000 / per_second))),
        user_time_100ns: Some(hundred_ns(ticks(10))),
        kernel_time_100ns: Some(hundred_ns(ticks(11))),
        memory_commit_bytes: kilobytes("VmData").map(|size| size << 10),
        memory_working_set_private_bytes: kilobytes("RssAnon").map(|size| size << 10),
        memory_working_set_shared_bytes: Some(
            (kilobytes("RssFile").unwrap_or(0) + kilobytes("RssShmem").unwrap_or(0)) << 10,
        ),
    })
}

fn boot_time() -> Option<SystemTime> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, process::Command};

    use super::*;

    #[test]
    fn a_process_whose_name_is_no_text_is_listed() {
        let folder = std::env::temp_dir().join(format!("hcs-process-list-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        // Its name is that of the file.
        let program = folder.join(OsStr::from_bytes(b"no \xff"));
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let mut child = Command::new(program).arg("1000").spawn().unwrap();
        let listed = details(child.id(), None, HERE);
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(listed.unwrap().image_name.as_deref(), Some("no \u{fffd}"));
    }
}

//! Which process a worker is, told so that it can be killed without its help, also by a later hcsd.
//!
//! A process id alone is given to a stranger when its process is gone; together with the time of the start it
//! names one process until the host is booted again, and records do not outlive that.

use std::{fs, io, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags},
    time::ClockId,
};
use serde::{Deserialize, Serialize};

/// What processes of ours are called that are workers.
const WORKER: &str = "hcs-worker";

/// A process of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its process id.
    pub pid: u32,
    /// When it was started, in the kernel's ticks since boot.
    pub started: u64,
}

impl ProcessIdentity {
    /// The process that has this id now; `None` if there is none. That it cannot be looked at is an error, and no death.
    pub fn of(pid: u32) -> io::Result<Option<ProcessIdentity>> {
        let line = line_of(pid)?;
        let stat = line.as_deref().and_then(Stat::parse);
        Ok(stat.map(|stat| ProcessIdentity { pid, started: stat.started }))
    }

    /// A descriptor for the process; `None` when it is gone.
    pub fn open(self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Err(Errno::SRCH) => return Ok(None),
            opened => opened?,
        };
        // Looked at after the descriptor was opened, so that it stands for the process that was looked at.
        Ok((ProcessIdentity::of(self.pid)? == Some(self)).then_some(pidfd))
    }
}

/// What the kernel tells of a process; `None` if there is none.
fn line_of(pid: u32) -> io::Result<Option<String>> {
    match fs::read(format!("/proc/{pid}/stat")) {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::SRCH)) => Ok(None),
        // A name may be any bytes.
        line => line.map(|line| Some(String::from_utf8_lossy(&line).into_owned())),
    }
}

/// What is of interest in that line.
struct Stat<'a> {
    name: &'a str,
    parent: u32,
    started: u64,
}

impl Stat<'_> {
    fn parse(line: &str) -> Option<Stat<'_>> {
        // The name is in parentheses and may itself contain any character.
        let (before, fields) = line.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        Some(Stat {
            name: before.split_once('(')?.1,
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// The present, as [`ProcessIdentity::started`] tells it.
pub fn now() -> u64 {
    let since_boot = rustix::time::clock_gettime(ClockId::Boottime);
    let ticks = rustix::param::clock_ticks_per_second();
    since_boot.tv_sec.cast_unsigned() * ticks + since_boot.tv_nsec.cast_unsigned() * ticks / 1_000_000_000
}

/// The workers among the children of this process that were started since then, dead ones too.
pub fn workers_since(since: u64) -> io::Result<Vec<ProcessIdentity>> {
    let own = std::process::id();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Who is gone meanwhile is none of ours: those wait to be buried.
        if let Some(stat) = line_of(pid)?.as_deref().and_then(Stat::parse)
            && (stat.name, stat.parent) == (WORKER, own)
            && stat.started >= since
        {
            found.push(ProcessIdentity { pid, started: stat.started });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_process_is_found_again_and_another_of_its_number_is_not() {
        let own = ProcessIdentity::of(std::process::id()).unwrap().unwrap();
        assert!(own.open().unwrap().is_some());
        assert!(ProcessIdentity { started: own.started + 1, ..own }.open().unwrap().is_none());
        assert_eq!(ProcessIdentity::of(u32::MAX).unwrap(), None);
    }

    #[test]
    fn a_worker_that_was_born_since_is_found_when_it_is_dead_and_nobody_else_is() {
        let since = now();
        let folder = std::env::temp_dir().join(format!("hcsd-orphans-{since}-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let spawn = |name: &[u8]| {
            // Its name is that of the file.
            let program = folder.join(std::ffi::OsStr::from_bytes(name));
            std::os::unix::fs::symlink("/bin/true", &program).unwrap();
            std::process::Command::new(program).spawn().unwrap()
        };
        let mut other = spawn(b"no text \xff");
        let mut orphan = spawn(WORKER.as_bytes());
        let pid = Pid::from_child(&orphan);
        // It is dead, and nobody has buried it.
        rustix::process::waitid(
            rustix::process::WaitId::Pid(pid),
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
        )
        .unwrap();
        let found = workers_since(since).unwrap();
        assert_eq!(found, [ProcessIdentity::of(orphan.id()).unwrap().unwrap()]);
        assert_eq!(workers_since(found[0].started + 1).unwrap(), []);
        for child in [&mut orphan, &mut other] {
            child.wait().unwrap();
        }
        fs::remove_dir_all(folder).unwrap();
    }
}

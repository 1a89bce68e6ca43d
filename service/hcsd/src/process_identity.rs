//! Which process a worker is, told so that it can be killed without its help, also by a later hcsd.
//!
//! A process id alone is given to a stranger when its process is gone; together with the time of the start it
//! names one process until the host is booted again, and records do not outlive that.

use std::{fs, os::fd::OwnedFd};

use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

/// A process of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its process id.
    pub pid: u32,
    /// When it was started, in the kernel's ticks since boot.
    pub started: u64,
}

impl ProcessIdentity {
    /// The process that has this id now.
    pub fn of(pid: u32) -> Option<ProcessIdentity> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may itself contain any character.
        let started = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
        Some(ProcessIdentity { pid, started })
    }

    /// A descriptor for the process; `None` when it is gone.
    pub fn open(self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
        // Looked at after the descriptor was opened, so that it stands for the process that was looked at.
        (ProcessIdentity::of(self.pid) == Some(self)).then_some(pidfd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_again_and_another_of_its_number_is_not() {
        let own = ProcessIdentity::of(std::process::id()).unwrap();
        assert!(own.open().is_some());
        assert!(ProcessIdentity { started: own.started + 1, ..own }.open().is_none());
        assert_eq!(ProcessIdentity::of(u32::MAX), None);
    }
}

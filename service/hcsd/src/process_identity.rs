//! Which process a worker is, told so that it can be killed without its help, also by a later hcsd.
//!
//! A process id alone is given to a stranger when its process is gone; together with the time of the start it
//! names one process until the host is booted again, and records do not outlive that.

use std::{fs, io, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags},
};
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
    /// The process that has this id now; `None` if there is none. That it cannot be looked at is an error, and no death.
    pub fn of(pid: u32) -> io::Result<Option<ProcessIdentity>> {
        let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::SRCH)) => {
                return Ok(None);
            }
            stat => stat?,
        };
        // The name is in parentheses and may itself contain any character.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields);
        let started = fields.and_then(|fields| fields.split_whitespace().nth(19)?.parse().ok());
        Ok(started.map(|started| ProcessIdentity { pid, started }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_again_and_another_of_its_number_is_not() {
        let own = ProcessIdentity::of(std::process::id()).unwrap().unwrap();
        assert!(own.open().unwrap().is_some());
        assert!(ProcessIdentity { started: own.started + 1, ..own }.open().unwrap().is_none());
        assert_eq!(ProcessIdentity::of(u32::MAX).unwrap(), None);
    }
}

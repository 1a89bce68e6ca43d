//! On which processors of the host a machine runs. Its QEMU may not change that: it has no such right.

use std::{collections::HashSet, os::fd::AsFd};

use hcs_container::process;
use hcs_core::{Cause, Error};
use rustix::{
    io::Errno,
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use super::Running;

impl Running {
    /// Has every thread of QEMU run on these, or on all; those that it makes later run where their makers do.
    pub(super) fn run_on(&self, processors: Option<&[u32]>) -> Result<(), Error> {
        let failed =
            |errno: Errno| Error::from_errno(errno.raw_os_error(), "placing a machine on processors");
        let mut set = CpuSet::new();
        match processors {
            Some(list) => {
                for processor in list.iter().filter(|processor| (**processor as usize) < CpuSet::MAX_CPU) {
                    set.set(*processor as usize);
                }
            }
            None => set = sched_getaffinity(None).map_err(failed)?,
        }
        let process = process::look_up(self.pidfd.as_fd())
            .map_err(|errno| Error::from_errno(errno.raw_os_error(), "looking at QEMU"))?
            .ok_or(Cause::SystemAlreadyStopped)?;
        let mut placed = HashSet::new();
        // One that is not placed yet may make another behind our back, which runs where its maker did.
        loop {
            let threads = std::fs::read_dir(format!("/proc/{process}/task"))
                .map_err(|_| Error::from(Cause::SystemAlreadyStopped))?;
            let numbers = threads
                .flatten()
                .filter_map(|thread| Pid::from_raw(thread.file_name().to_str()?.parse().ok()?));
            let fresh: Vec<Pid> = numbers.filter(|number| placed.insert(*number)).collect();
            if fresh.is_empty() {
                return Ok(());
            }
            for number in fresh {
                match sched_setaffinity(Some(number), &set) {
                    // It has ended meanwhile.
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(errno) => return Err(failed(errno)),
                }
            }
        }
    }
}

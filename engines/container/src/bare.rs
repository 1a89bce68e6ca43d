//! The machine that a worker runs on, as a place for processes: the agent in a virtual machine runs those there that are in
//! no container. Nothing is kept from them but what their user may not; they are in a cgroup of their own, so they are
//! known and can be ended.

use std::os::fd::{AsFd, OwnedFd};

use hcs_core::Error;
use hcs_schema::ProcessDetails;
use rustix::{
    fs::{Mode, OFlags},
    process::PidfdFlags,
};

use crate::{
    cgroup::{Cgroup, Counters, Layout},
    plan::Limits,
    process::{self, Process},
    process_list,
    process_plan::ProcessPlan,
};

/// Its processes. They do not end by its being dropped: [`Bare::kill`] and [`Bare::remove`] end them.
pub struct Bare {
    cgroup: Cgroup,
    /// Stands for this process, in whose namespaces they are.
    own: OwnedFd,
    root: OwnedFd,
}

impl Bare {
    /// Makes the cgroup of that name.
    pub fn create(cgroup_parent: &str, name: &str) -> Result<Bare, Error> {
        const EVERY_DEVICE: &str = "a *:* rwm";
        let failed = |errno: rustix::io::Errno| {
            Error::from_errno(errno.raw_os_error(), "preparing to start processes on the machine")
        };
        let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty()).map_err(failed)?;
        let devices = [EVERY_DEVICE.to_owned()];
        let limits = Limits::default();
        let cgroup = Cgroup::create(Layout::of_this_host()?, cgroup_parent, name, &limits, &devices)?;
        Ok(Bare { cgroup, own: own.map_err(failed)?, root })
    }

    /// Starts a process.
    pub fn start_process(&self, plan: &ProcessPlan) -> Result<Process, Error> {
        let plan = plan.or_that_of_container(None)?;
        let place = process::Place {
            init: self.own.as_fd(),
            root: self.root.as_fd(),
            cgroup: &self.cgroup,
            users: None,
            filter: None,
            is_here: true,
        };
        process::start(&plan, &place)
    }

    /// Reads the counters.
    pub fn counters(&self) -> Result<Counters, Error> {
        self.cgroup.counters()
    }

    /// Lists the processes.
    pub fn processes(&self) -> Result<Vec<ProcessDetails>, Error> {
        process_list::read(&self.cgroup, None, process_list::HERE)
    }

    /// Kills all of them.
    pub fn kill(&self) -> Result<(), Error> {
        self.cgroup.kill()
    }

    /// Removes the cgroup.
    pub fn remove(&self) -> Result<(), Error> {
        self.cgroup.remove()
    }
}

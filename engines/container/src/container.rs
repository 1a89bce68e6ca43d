//! One container, from its plan to its end. The worker holds exactly one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hcs_core::{Cause, Error};
use hcs_schema::ProcessDetails;

use crate::{
    cgroup::{Cgroup, Counters, Layout},
    init,
    launch::{self, Launched},
    mapping::{self, Opened},
    plan::Plan,
    process::{self, Process},
    process_list,
    process_plan::ProcessPlan,
    sys,
};

/// A container that exists. It does not end by being dropped: [`Container::kill`] and then
/// [`Container::remove`] end it, because its end takes time and can fail.
pub struct Container {
    plan: Plan,
    cgroup: Cgroup,
    root: OwnedFd,
    /// What of the host appears inside, until it is attached.
    mappings: Vec<Opened>,
    launched: Option<Launched>,
}

impl Container {
    /// Makes what must exist before the start: checks the root file system and makes the cgroup.
    pub fn create(plan: Plan) -> Result<Container, Error> {
        let root = launch::open_root(&plan.root)?;
        let mappings = plan.mappings.iter().map(mapping::open).collect::<Result<_, _>>()?;
        let layout = Layout::of_this_host()?;
        let cgroup = Cgroup::create(layout, &plan.cgroup_parent, &plan.runtime_id, &plan.limits)?;
        Ok(Container { plan, cgroup, root, mappings, launched: None })
    }

    /// Starts init. From then on processes can be started.
    pub fn start(&mut self) -> Result<(), Error> {
        let launched = launch::start(&self.plan, std::mem::take(&mut self.mappings), &self.cgroup)?;
        // From now on every child of this process is born in the container's pid namespace.
        sys::enter_namespaces(launched.pidfd.as_fd(), libc::CLONE_NEWPID).map_err(|errno| {
            Error::from_errno(errno.raw_os_error(), "entering the container's pid namespace")
        })?;
        self.launched = Some(launched);
        Ok(())
    }

    /// Starts a process.
    pub fn start_process(&self, plan: &ProcessPlan) -> Result<Process, Error> {
        let launched = self.launched.as_ref().ok_or(Cause::InvalidState)?;
        process::start(plan, launched.pidfd.as_fd(), self.root.as_fd(), &self.cgroup, &self.plan.filter)
    }

    /// Stands for init; readable when the container has ended.
    pub fn init(&self) -> Option<BorrowedFd<'_>> {
        self.launched.as_ref().map(|launched| launched.pidfd.as_fd())
    }

    /// Asks every process to end.
    pub fn ask_to_end(&self) -> Result<(), Error> {
        self.command(init::SHUT_DOWN)
    }

    /// Tells init that the worker's own children are gone.
    pub fn finish(&self) -> Result<(), Error> {
        self.command(init::FINISH)
    }

    fn command(&self, command: u8) -> Result<(), Error> {
        let launched = self.launched.as_ref().ok_or(Cause::InvalidState)?;
        match rustix::io::write(&launched.control, &[command]) {
            Ok(_) => Ok(()),
            Err(rustix::io::Errno::PIPE) => Err(Cause::SystemAlreadyStopped.into()),
            Err(errno) => Err(Error::from_errno(errno.raw_os_error(), "commanding the container's init")),
        }
    }

    /// Suspends or continues every process.
    pub fn freeze(&self, frozen: bool) -> Result<(), Error> {
        self.cgroup.freeze(frozen)
    }

    /// Reads the counters.
    pub fn counters(&self) -> Result<Counters, Error> {
        self.cgroup.counters()
    }

    /// Lists the processes.
    pub fn processes(&self) -> Result<Vec<ProcessDetails>, Error> {
        process_list::read(&self.cgroup)
    }

    /// Kills init; the kernel kills the rest. The death of init is seen by its pidfd.
    pub fn kill(&self) -> Result<(), Error> {
        match &self.launched {
            Some(launched) => {
                match process::signal(launched.pidfd.as_fd(), libc::SIGKILL) {
                    Err(error) if error.cause != Cause::ProcessAlreadyStopped => return Err(error),
                    _ => {}
                }
                // In v1 a frozen process does not die.
                self.cgroup.freeze(false).or(Ok(()))
            }
            None => Ok(()),
        }
    }

    /// Removes what is left when init is dead and reaped.
    pub fn remove(&self) -> Result<(), Error> {
        self.cgroup.kill()?;
        self.cgroup.remove()
    }
}

/// Kills and removes whatever a container of this name has left, for instance because its worker was killed.
/// Does nothing if there is nothing.
pub fn remove_leftovers(cgroup_parent: &str, runtime_id: &str) -> Result<(), Error> {
    let cgroup = Cgroup::at(Layout::of_this_host()?, cgroup_parent, runtime_id);
    cgroup.kill()?;
    cgroup.remove()
}

/// Removes what a service that is left without containers has in the cgroup hierarchies.
pub fn remove_empty_parent(cgroup_parent: &str) {
    if let Ok(layout) = Layout::of_this_host() {
        Cgroup::remove_parent(&layout, cgroup_parent);
    }
}

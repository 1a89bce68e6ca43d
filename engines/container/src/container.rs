//! One container, from its plan to its end. The worker holds exactly one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hcs_core::{Cause, Error};
use hcs_schema::ProcessDetails;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::{
    cgroup::{Cgroup, Counters, Layout},
    change::Change,
    device, init,
    launch::{self, Launched},
    mounts::{extra, live::Mounted, root},
    network::{
        Network, bridge, connection, resolver,
        user_mode::{self, Helper},
    },
    plan::Plan,
    process::{self, Process},
    process_list,
    process_plan::ProcessPlan,
    sys,
    user_namespace::UserNamespace,
};

/// How a process ends that SIGKILL has ended.
const KILLED: u32 = 128 + libc::SIGKILL as u32;

/// A container that exists. It does not end by being dropped: [`Container::kill`] and then
/// [`Container::remove`] end it, because its end takes time and can fail.
pub struct Container {
    plan: Plan,
    cgroup: Cgroup,
    state: State,
    is_frozen: bool,
    /// What serves it from the host.
    helper: Option<Helper>,
}

enum State {
    /// What start takes. None behind a start that has failed: a mount that was attached once cannot be attached again, so
    /// everything is opened anew for the next.
    Created(Option<Opened>),
    Started(Started),
}

/// What is opened of the host before the start.
struct Opened {
    materials: launch::Materials,
    root: Root,
    mounted: Mounted,
}

struct Started {
    launched: Launched,
    root: Root,
    mounted: Mounted,
}

/// The root file system.
struct Root {
    /// Its folder.
    folder: OwnedFd,
    /// Keep its layers from being removed.
    _layers: Vec<OwnedFd>,
}

impl Opened {
    /// Opens everything of the host that the container will have, and leaves nothing.
    fn of(plan: &Plan) -> Result<Opened, Error> {
        let users = plan.users.as_ref().map(UserNamespace::make).transpose()?;
        let root = root::open(&plan.root, users.as_ref().map(AsFd::as_fd))?;
        let mut mounts = extra::prepare(&plan.mounts)?;
        if let Some(resolver) = &plan.resolver {
            // First, so that the document's own mounts come over it.
            mounts.insert(0, extra::text(resolver::FILE, resolver::text(resolver))?);
        }
        let network = connection::prepare(&plan.network)?;
        let devices = plan.devices.iter().map(device::find).collect::<Result<Vec<_>, _>>()?;
        // Nobody can make nodes in a user namespace, so those of the host are mounted there.
        let nodes = match plan.users {
            Some(_) => device::open_nodes(&devices)?,
            None => Vec::new(),
        };
        let mounted = Mounted::of(&mounts, plan.users.is_some())?;
        Ok(Opened {
            materials: launch::Materials { root: root.mount, mounts, devices, nodes, network },
            root: Root { folder: root.folder, _layers: root.layers },
            mounted,
        })
    }

    /// What was opened already, or all of it anew.
    fn again<'a>(opened: &'a mut Option<Opened>, plan: &Plan) -> Result<&'a mut Opened, Error> {
        Ok(match opened {
            Some(opened) => opened,
            none => none.insert(Opened::of(plan)?),
        })
    }
}

impl Container {
    /// Makes what must exist before the start: opens everything of the host that it will have, and makes the cgroup.
    pub fn create(plan: Plan) -> Result<Container, Error> {
        // Keys are inherited: neither the service's nor another container's are for its processes.
        sys::forget_keys()
            .map_err(|errno| Error::from_errno(errno.raw_os_error(), "beginning a session of keys"))?;
        let opened = Opened::of(&plan)?;
        let disk =
            plan.disk_limits.as_ref().map(|_| root::disk_of(opened.root.folder.as_fd())).transpose()?;
        let rules: Vec<String> = opened.materials.devices.iter().map(device::Found::rule).collect();
        let layout = Layout::of_this_host()?;
        // The last that can fail and leaves something.
        let cgroup = Cgroup::create(layout, &plan.cgroup_parent, &plan.runtime_id, &plan.limits, &rules)?;
        if let (Some(disk), Some(limits)) = (disk, &plan.disk_limits)
            && let Err(error) = cgroup.limit_disk(&disk, limits)
        {
            let _ = cgroup.remove();
            return Err(error.at("$.Container.Storage.QoS"));
        }
        Ok(Container { plan, cgroup, state: State::Created(Some(opened)), is_frozen: false, helper: None })
    }

    /// Starts init. From then on processes can be started. A start that fails can be tried again.
    pub fn start(&mut self) -> Result<(), Error> {
        let State::Created(opened) = &mut self.state else { return Err(Cause::InvalidState.into()) };
        if opened.is_none() {
            // Where it could not be ended then, because it could not be seen.
            user_mode::end_lost(&self.cgroup)?;
        }
        Opened::again(opened, &self.plan)?;
        // What is taken here and not put back is closed with the failure, so that nothing of the root is in use at the next.
        let Some(Opened { materials, root, mounted }) = opened.take() else {
            return Err(Cause::InvalidState.into());
        };
        let launched = launch::start(&self.plan, &materials, &self.cgroup)?;
        match self.settle_in(launched.pidfd.as_fd()) {
            Ok(helper) => {
                self.helper = helper;
                self.state = State::Started(Started { launched, root, mounted });
                Ok(())
            }
            Err(error) => {
                // Init ends with its control pipe, unless somebody has ended it before.
                drop(launched.control);
                let ended = process::wait(launched.pidfd.as_fd());
                let _ = user_mode::end_lost(&self.cgroup);
                match ended {
                    Ok(Some(KILLED)) => Err(launch::killed()),
                    _ => Err(error),
                }
            }
        }
    }

    /// Connects the container to its network, and has every child of this process born in its pid namespace from now on.
    fn settle_in(&self, init: BorrowedFd<'_>) -> Result<Option<Helper>, Error> {
        let owner = owner(&self.plan.cgroup_parent, &self.plan.runtime_id);
        let helper = connection::connect(&self.plan.network, &owner, init, &self.cgroup)?;
        let entered = sys::enter_namespaces(init, libc::CLONE_NEWPID);
        if let (Err(_), Some(helper)) = (&entered, &helper) {
            helper.end();
        }
        entered.map_err(|errno| {
            Error::from_errno(errno.raw_os_error(), "entering the container's pid namespace")
        })?;
        Ok(helper)
    }

    fn started(&self) -> Result<&Started, Error> {
        match &self.state {
            State::Started(started) => Ok(started),
            State::Created(_) => Err(Cause::InvalidState.into()),
        }
    }

    /// Starts a process.
    pub fn start_process(&self, plan: &ProcessPlan) -> Result<Process, Error> {
        let Started { launched, root, .. } = self.started()?;
        let plan = plan.or_that_of_container(self.plan.process.as_ref())?;
        let place = process::Place {
            init: launched.pidfd.as_fd(),
            root: root.folder.as_fd(),
            cgroup: &self.cgroup,
            users: self.plan.users.as_ref(),
            filter: Some(self.plan.filter.program()?),
            is_here: false,
        };
        process::start(&plan, &place)
    }

    /// Stands for init; readable when the container has ended.
    pub fn init(&self) -> Option<BorrowedFd<'_>> {
        self.started().ok().map(|started| started.launched.pidfd.as_fd())
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
        match rustix::io::write(&self.started()?.launched.control, &[command]) {
            Ok(_) => Ok(()),
            Err(rustix::io::Errno::PIPE) => Err(Cause::SystemAlreadyStopped.into()),
            Err(errno) => Err(Error::from_errno(errno.raw_os_error(), "commanding the container's init")),
        }
    }

    /// Suspends or continues every process.
    pub fn freeze(&mut self, frozen: bool) -> Result<(), Error> {
        // Whatever became of it: thawing what is not frozen does no harm.
        self.is_frozen = true;
        self.cgroup.freeze(frozen)?;
        self.is_frozen = frozen;
        Ok(())
    }

    /// Changes limits, or what of the host appears inside. A change that fails has changed nothing.
    pub fn change(&mut self, change: &Change) -> Result<(), Error> {
        match change {
            Change::Limits(change) => {
                let limits = change.of(&self.plan.limits);
                self.cgroup.change_limits(&self.plan.limits, &limits)?;
                self.plan.limits = limits;
                Ok(())
            }
            Change::Map(mount) => match &mut self.state {
                State::Started(Started { launched, mounted, .. }) => {
                    mounted.add(mount, launched.pidfd.as_fd())
                }
                State::Created(opened) => {
                    let Opened { materials, mounted, .. } = Opened::again(opened, &self.plan)?;
                    mounted.add_before_start(mount, &mut materials.mounts)?;
                    self.plan.mounts.push(mount.clone());
                    Ok(())
                }
            },
            Change::Unmap(path) => match &mut self.state {
                State::Started(Started { launched, mounted, .. }) => {
                    mounted.remove(path, launched.pidfd.as_fd())
                }
                State::Created(opened) => {
                    let Opened { materials, mounted, .. } = Opened::again(opened, &self.plan)?;
                    mounted.remove_before_start(path, &mut materials.mounts)?;
                    self.plan.mounts.retain(|mount| mount.destination != *path);
                    Ok(())
                }
            },
        }
    }

    /// Reads the counters.
    pub fn counters(&self) -> Result<Counters, Error> {
        self.cgroup.counters()
    }

    /// Lists the processes.
    pub fn processes(&self) -> Result<Vec<ProcessDetails>, Error> {
        process_list::read(&self.cgroup, self.helper.as_ref().map(|helper| helper.pid), process_list::INSIDE)
    }

    /// Kills init; the kernel kills the rest. The death of init is seen by its pidfd.
    pub fn kill(&self) -> Result<(), Error> {
        match &self.state {
            State::Started(Started { launched, .. }) => {
                match process::signal(launched.pidfd.as_fd(), libc::SIGKILL) {
                    Err(error) if error.cause != Cause::ProcessAlreadyStopped => return Err(error),
                    _ => {}
                }
                // In v1 a frozen process does not die.
                if self.is_frozen { self.cgroup.freeze(false).or(Ok(())) } else { Ok(()) }
            }
            State::Created(_) => Ok(()),
        }
    }

    /// Removes what is left when init is dead and reaped: all that can be, also when something cannot.
    pub fn remove(&self) -> Result<(), Error> {
        let disconnected = match self.plan.network {
            Network::Bridge { .. } => return_home()
                .and_then(|()| bridge::disconnect(&owner(&self.plan.cgroup_parent, &self.plan.runtime_id))),
            _ => Ok(()),
        };
        if let Some(helper) = &self.helper {
            helper.end();
        }
        self.cgroup.remove().and(disconnected)
    }
}

/// Whose the host's end of a connection is. All services of a host share its interfaces, and two may have a container of one id.
fn owner(cgroup_parent: &str, runtime_id: &str) -> String {
    format!("{cgroup_parent}/{runtime_id}")
}

/// Has this process's children born in its own pid namespace again: in that of a container that has ended nobody is born,
/// and taking a bridge down needs a program.
fn return_home() -> Result<(), Error> {
    let failed =
        |errno: Errno| Error::from_errno(errno.raw_os_error(), "leaving the container's pid namespace");
    let own = rustix::fs::open("/proc/self/ns/pid", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed)?;
    sys::enter_namespaces(own.as_fd(), libc::CLONE_NEWPID).map_err(failed)
}

/// Kills and removes whatever a container of this name has left, for instance because its worker was killed.
/// Does nothing if there is nothing.
pub fn remove_leftovers(cgroup_parent: &str, runtime_id: &str) -> Result<(), Error> {
    let disconnected = bridge::disconnect(&owner(cgroup_parent, runtime_id));
    Cgroup::at(Layout::of_this_host()?, cgroup_parent, runtime_id).remove().and(disconnected)
}

/// The same for every container that this service has left.
pub fn remove_all_leftovers(cgroup_parent: &str) -> Result<(), Error> {
    for name in Cgroup::names(&Layout::of_this_host()?, cgroup_parent) {
        remove_leftovers(cgroup_parent, &name)?;
    }
    Ok(())
}

/// Removes what a service that is left without containers has in the cgroup hierarchies.
pub fn remove_empty_parent(cgroup_parent: &str) {
    if let Ok(layout) = Layout::of_this_host() {
        Cgroup::remove_parent(&layout, cgroup_parent);
    }
}

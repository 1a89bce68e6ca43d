//! The first process of a container, from clone3 to the init loop.

use std::{
    ffi::CString,
    os::fd::{AsFd, OwnedFd},
};

use hcs_core::{Cause, Error};
use rustix::{io::Errno, pipe::PipeFlags, thread::CapabilitySet};

use crate::{
    cgroup::{Cgroup, Join},
    device, init,
    mounts::{
        extra,
        tree::{self, MountPlan},
    },
    plan::Plan,
    privileges, process,
    report::{self, Reporter, Step},
    sys::{self, Clone},
    user_namespace,
};

/// A running init.
pub struct Launched {
    /// Stands for init and for the container's namespaces.
    pub pidfd: OwnedFd,
    /// The pipe by which init is told what to do; its end ends the container.
    pub control: OwnedFd,
}

/// Everything that the child needs, made before it is born.
struct Prepared<'a> {
    mounts: MountPlan<'a>,
    host_name: CString,
    domain_name: Option<CString>,
    join: &'a Join,
    control: OwnedFd,
    reporter: Reporter,
    has_own_network: bool,
    /// Says that the kernel knows who is who; there if the container has users of its own.
    users_are_known: Option<OwnedFd>,
}

/// What was opened when the container was created. The first process attaches it.
pub struct Materials {
    /// The detached mount of the root file system.
    pub root: OwnedFd,
    /// Mounts that the document asks for.
    pub mounts: Vec<extra::Prepared>,
    /// Devices of the host.
    pub devices: Vec<device::Found>,
    /// Nodes of the host, in the place of all nodes that cannot be made.
    pub nodes: Vec<device::Node>,
    /// The network namespace, if it is another's.
    pub network: Option<OwnedFd>,
}

/// Starts init in new namespaces.
pub fn start(plan: &Plan, materials: &Materials, cgroup: &Cgroup) -> Result<Launched, Error> {
    let (control, control_of_worker) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
        .map_err(|error| Error::from_errno(error.raw_os_error(), "making a pipe"))?;
    let (reporter, listener) = report::channel()?;
    let (users_are_known, users) = match &plan.users {
        None => (None, None),
        Some(users) => {
            let (known, tell) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
                .map_err(|error| Error::from_errno(error.raw_os_error(), "making a pipe"))?;
            (Some(known), Some((users, tell)))
        }
    };
    let prepared = Prepared {
        mounts: MountPlan {
            has_tty_group: plan.users.as_ref().is_none_or(|users| users.group(tree::TTY_GROUP).is_some()),
            materials,
            root_is_read_only: plan.root.read_only,
            masked: c_strings(&plan.masked)?,
            read_only: c_strings(&plan.read_only)?,
            settings: settings(plan)?,
        },
        host_name: c_string(&plan.host_name)?,
        domain_name: plan.domain_name.as_deref().map(c_string).transpose()?,
        join: cgroup.join()?,
        control,
        reporter,
        has_own_network: plan.network.is_own(),
        users_are_known,
    };
    let network = if prepared.has_own_network { libc::CLONE_NEWNET as u64 } else { 0 };
    let own_users = if users.is_some() { libc::CLONE_NEWUSER as u64 } else { 0 };
    let namespaces = sys::CONTAINER_NAMESPACES | network | own_users;
    match sys::clone_process(namespaces, prepared.join.birthplace()) {
        Ok(Clone::Child) => become_init(&prepared),
        Ok(Clone::Parent { pidfd }) => {
            drop(prepared);
            if let Some((users, tell)) = users {
                let settled = sys::process_behind(pidfd.as_fd())
                    .map_err(|errno| {
                        Error::from_errno(errno.raw_os_error(), "looking at the container's first process")
                    })
                    .and_then(|process| {
                        let process = process.ok_or_else(killed)?;
                        users.settle(process)
                    });
                if let Err(error) = settled {
                    // The child ends when nobody can tell it any more.
                    drop(tell);
                    let _ = process::wait(pidfd.as_fd());
                    return Err(error.at("$.Container.OciSpecification.linux"));
                }
                let _ = rustix::io::write(&tell, b"1");
            }
            let outcome = listener.until_ready();
            let killed = outcome.is_silence().then(killed);
            match outcome.into_result("starting the container") {
                Ok(_) => Ok(Launched { pidfd, control: control_of_worker }),
                Err(error) => {
                    // It has ended, or does so without its control pipe.
                    drop(control_of_worker);
                    let _ = process::wait(pidfd.as_fd());
                    Err(killed.unwrap_or(error))
                }
            }
        }
        Err(errno) => Err(Error::from_errno(errno.raw_os_error(), "making the container's namespaces")),
    }
}

/// What is told of a container whose init was killed before anything was in it.
pub fn killed() -> Error {
    Error::new(Cause::TerminatedDuringStart, "the container's first process was killed")
}

fn settings(plan: &Plan) -> Result<Vec<(CString, CString)>, Error> {
    plan.settings.iter().map(|(file, value)| Ok((c_string(file)?, c_string(value)?))).collect()
}

fn become_init(prepared: &Prepared<'_>) -> ! {
    // The pidfd of the parent's copy and the like are closed with everything else further down.
    match set_up(prepared) {
        Ok(signals) => {
            let (signals, control) = (signals.as_fd(), prepared.control.as_fd());
            // First all that is the worker's: of one that dies while this process is frozen its connections must end with it.
            init::keep_only(&[signals, control, prepared.reporter.as_fd()]);
            prepared.reporter.process_id();
            init::keep_only(&[signals, control]);
            init::run(signals, control)
        }
        Err((step, errno)) => {
            prepared.reporter.failed(step, errno);
            sys::exit(127)
        }
    }
}

fn set_up(prepared: &Prepared<'_>) -> Result<OwnedFd, (Step, Errno)> {
    if let Some(known) = &prepared.users_are_known {
        if rustix::io::read(known, &mut [0u8; 1]) != Ok(1) {
            return Err((Step::User, Errno::CANCELED));
        }
        user_namespace::become_root()?;
    }
    let _ = sys::die_with_parent();
    let signals = sys::signals_by_descriptor(init::SIGNALS).map_err(|errno| (Step::Signals, errno))?;
    join_cgroup(prepared.join)?;
    if let Some(network) = &prepared.mounts.materials.network {
        sys::enter_namespaces(network.as_fd(), libc::CLONE_NEWNET).map_err(|errno| (Step::Network, errno))?;
    }
    sys::unshare(libc::CLONE_NEWCGROUP).map_err(|errno| (Step::CgroupNamespace, errno))?;
    rustix::process::setsid().map_err(|errno| (Step::Session, errno))?;
    // Mode bits in this tree are exactly those that are asked for.
    rustix::process::umask(rustix::fs::Mode::empty());
    tree::make(&prepared.mounts)?;
    rustix::system::sethostname(prepared.host_name.to_bytes()).map_err(|errno| (Step::HostName, errno))?;
    if let Some(name) = &prepared.domain_name {
        rustix::system::setdomainname(name.to_bytes()).map_err(|errno| (Step::HostName, errno))?;
    }
    if prepared.has_own_network {
        sys::loopback_up().map_err(|errno| (Step::Loopback, errno))?;
    }
    sys::forbid_tracing().map_err(|errno| (Step::Capabilities, errno))?;
    // Init signals and reaps; KILL is all it needs. What it is bounded by would count at an exec, and it never does one.
    privileges::hold(CapabilitySet::KILL).map_err(|errno| (Step::Capabilities, errno))?;
    rustix::thread::set_no_new_privs(true).map_err(|errno| (Step::NoNewPrivileges, errno))?;
    Ok(signals)
}

/// Joins a v1 group from inside; in v2 the child was born there.
pub(crate) fn join_cgroup(join: &Join) -> Result<(), (Step, Errno)> {
    if let Join::BySelf(files) = join {
        for file in files {
            rustix::io::write(file, b"0").map_err(|errno| (Step::JoinCgroup, errno))?;
        }
    }
    Ok(())
}

pub(crate) fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text)
        .map_err(|_| Error::new(Cause::InvalidData, format!("found a NUL character in {text:?}")))
}

pub(crate) fn c_strings(texts: &[String]) -> Result<Vec<CString>, Error> {
    texts.iter().map(|text| c_string(text)).collect()
}

//! What a process is beside its program: capabilities, limits, scheduling, privileges.
//!
//! [`Attributes`] are part of a process's plan. Everything here that acts runs in the child between clone and
//! exec: raw calls on prepared data, nothing is allocated.

use hcs_core::{Cause, Error};
use rustix::{
    io::Errno,
    thread::{CapabilitySet, CapabilitySets, CpuSet, Gid, Uid},
};
use serde::{Deserialize, Serialize};

use crate::{
    confinement::{CAPABILITIES, LAST_CAPABILITY},
    privileges,
    report::Step,
    sys,
};

/// The attributes of a process. Their default is what a process has whose document says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// Its capabilities; without them the usual ones of root, or none for another user.
    pub capabilities: Option<Capabilities>,
    /// Nothing is kept from it that its user may have: it is no process of a container.
    pub is_unconfined: bool,
    /// Its supplementary groups; without them those of the container's own files.
    pub groups: Option<Vec<u32>>,
    /// Bits that new files do not get.
    pub umask: u32,
    /// Limits of resources.
    pub limits: Vec<Limit>,
    /// Whether programs that it runs can never gain privileges.
    pub no_new_privileges: bool,
    /// The profile of AppArmor that confines the program.
    pub apparmor_profile: Option<String>,
    /// How readily it is killed when memory runs out.
    pub oom_score_adjustment: Option<i32>,
    /// How it is scheduled.
    pub scheduling: Option<sys::Scheduling>,
    /// The priority of its input and output, as the kernel has it.
    pub io_priority: Option<u16>,
    /// Processors that it may run on, until it is in its cgroup and from then on.
    pub processors: [Option<Vec<u32>>; 2],
}

impl Default for Attributes {
    fn default() -> Attributes {
        Attributes {
            capabilities: None,
            is_unconfined: false,
            groups: None,
            umask: 0o022,
            limits: Vec::new(),
            no_new_privileges: true,
            apparmor_profile: None,
            oom_score_adjustment: None,
            scheduling: None,
            io_priority: None,
            processors: [None, None],
        }
    }
}

/// The five sets, one bit for each capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// What can ever be had.
    pub bounding: u64,
    /// What counts.
    pub effective: u64,
    /// What can be made to count.
    pub permitted: u64,
    /// What is kept by programs that have it too.
    pub inheritable: u64,
    /// What is kept by every program.
    pub ambient: u64,
}

/// A limit of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The kernel's number of the resource.
    pub resource: u32,
    /// What is in force.
    pub soft: u64,
    /// What cannot be exceeded.
    pub hard: u64,
}

/// The attributes in the form that the child uses.
pub struct Prepared {
    attributes: Attributes,
    oom_score: String,
    /// What is written to have the kernel confine the next program.
    confine: Option<String>,
    processors: [Option<CpuSet>; 2],
}

type Failed = (Step, Errno);

impl Prepared {
    /// Makes what must not be made in the child.
    pub fn new(attributes: &Attributes) -> Result<Prepared, Error> {
        if attributes.apparmor_profile.is_some() && !has_apparmor() {
            return Err(Error::new(Cause::NotSupported, "this host has no AppArmor"));
        }
        let set = |processors: &Vec<u32>| {
            let mut set = CpuSet::new();
            for number in processors.iter().filter(|number| (**number as usize) < CpuSet::MAX_CPU) {
                set.set(*number as usize);
            }
            set
        };
        Ok(Prepared {
            confine: attributes.apparmor_profile.as_ref().map(|profile| format!("exec {profile}")),
            // The worker's own is not for its children.
            oom_score: attributes.oom_score_adjustment.unwrap_or(0).to_string(),
            processors: attributes.processors.each_ref().map(|processors| processors.as_ref().map(set)),
            attributes: attributes.clone(),
        })
    }

    /// Whether the filter of system calls has to be loaded while the process is still privileged.
    pub fn is_filtered_early(&self) -> bool {
        !self.attributes.no_new_privileges
    }

    /// What is done before the cgroup is joined. /proc is still the host's.
    pub fn apply_outside(&self) -> Result<(), Failed> {
        write_oom_score(&self.oom_score).map_err(|errno| (Step::OomScore, errno))?;
        if let Some(confine) = &self.confine {
            confine_next(confine).map_err(|errno| (Step::Profile, errno))?;
        }
        self.run_on(0)
    }

    fn run_on(&self, which: usize) -> Result<(), Failed> {
        match &self.processors[which] {
            Some(set) => {
                rustix::thread::sched_setaffinity(None, set).map_err(|errno| (Step::Processors, errno))
            }
            None => Ok(()),
        }
    }

    /// What is done in the container while the process is still privileged.
    pub fn apply_inside(&self) -> Result<(), Failed> {
        self.run_on(1)?;
        if let Some(scheduling) = &self.attributes.scheduling {
            sys::set_scheduling(scheduling).map_err(|errno| (Step::Scheduling, errno))?;
        }
        if let Some(priority) = self.attributes.io_priority {
            sys::set_io_priority(priority).map_err(|errno| (Step::IoPriority, errno))?;
        }
        for limit in &self.attributes.limits {
            sys::set_limit(limit.resource, limit.soft, limit.hard).map_err(|errno| (Step::Limits, errno))?;
        }
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(self.attributes.umask));
        Ok(())
    }

    /// Becomes the user, with the capabilities that it is to have.
    pub fn become_user(&self, uid: u32, gid: u32, groups: &[Gid]) -> Result<(), Failed> {
        let capabilities = |errno| (Step::Capabilities, errno);
        let user = |errno| (Step::User, errno);
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let wanted =
            self.attributes.capabilities.unwrap_or_else(|| usual_of(uid, self.attributes.is_unconfined));
        privileges::limit(CapabilitySet::from_bits_retain(wanted.bounding)).map_err(capabilities)?;
        rustix::thread::set_thread_groups(groups).map_err(user)?;
        rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(user)?;
        // Kept over the change of the user only; running a program ends it.
        rustix::thread::set_keep_capabilities(true).map_err(capabilities)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(user)?;
        // With fs.suid_dumpable=1 a change of the user allows tracing, of the worker's memory too. Nobody inside had the
        // capabilities for it until here; giving some up changes nothing of it.
        sys::forbid_tracing().map_err(capabilities)?;
        hold(&wanted).map_err(capabilities)
    }

    /// What is done last.
    pub fn forbid_new_privileges(&self) -> Result<(), Failed> {
        if self.attributes.no_new_privileges {
            rustix::thread::set_no_new_privs(true).map_err(|errno| (Step::NoNewPrivileges, errno))?;
        }
        Ok(())
    }
}

/// Every one that a kernel may have.
const EVERY_CAPABILITY: u64 = (1 << (LAST_CAPABILITY + 1)) - 1;

/// As in Docker: nothing is kept for other users than root.
fn usual_of(uid: Uid, is_unconfined: bool) -> Capabilities {
    let usual = if is_unconfined { EVERY_CAPABILITY } else { CAPABILITIES.bits() };
    let kept = if uid.is_root() { usual } else { 0 };
    Capabilities { bounding: usual, effective: kept, permitted: kept, inheritable: 0, ambient: 0 }
}

fn hold(wanted: &Capabilities) -> Result<(), Errno> {
    let set = CapabilitySet::from_bits_retain;
    rustix::thread::clear_ambient_capability_set()?;
    let sets = CapabilitySets {
        effective: set(wanted.effective),
        permitted: set(wanted.permitted),
        inheritable: set(wanted.inheritable),
    };
    rustix::thread::set_capabilities(None, sets)?;
    for number in (0..u64::BITS).filter(|number| wanted.ambient >> number & 1 == 1) {
        rustix::thread::configure_capability_in_ambient_set(set(1 << number), true)?;
    }
    Ok(())
}

fn has_apparmor() -> bool {
    std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'))
}

/// Kernels before 5.8 have one file for all security modules.
fn confine_next(command: &str) -> Result<(), Errno> {
    use rustix::fs::{CWD, Mode, OFlags};
    let open = |path| rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    let file = match open(c"/proc/self/attr/apparmor/exec") {
        Err(Errno::NOENT) => open(c"/proc/self/attr/exec")?,
        opened => opened?,
    };
    rustix::io::write(file, command.as_bytes()).map(|_| ())
}

/// Has the kernel kill others first when the host is short of memory: who owns containers must outlive them. Children
/// inherit it, and the processes of systems are given theirs.
pub fn outlive_others() {
    // A service without the privilege is as good a victim as any.
    let _ = write_oom_score("-900");
}

/// What a program of the host is for its system does not make it more precious than others. /proc is still the host's.
pub(crate) fn be_killed_as_others() -> Result<(), Errno> {
    write_oom_score("0")
}

/// Has the kernel let whoever runs go on for a turn when this process wakes up. Who carries on what others say finds more of it
/// at once then, and the two do not take turns word by word.
pub fn let_others_finish() {
    const SCHED_BATCH: u32 = 3;
    let wanted = sys::Scheduling {
        policy: SCHED_BATCH,
        flags: 0,
        nice: 0,
        priority: 0,
        runtime: 0,
        deadline: 0,
        period: 0,
    };
    // Without it everything works, and some of it slower.
    let _ = sys::set_scheduling(&wanted);
}

fn write_oom_score(score: &str) -> Result<(), Errno> {
    use rustix::fs::{CWD, Mode, OFlags};
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, c"/proc/self/oom_score_adj", flags, Mode::empty())?;
    rustix::io::write(file, score.as_bytes()).map(|_| ())
}

//! A process in a container: started, signalled, its streams, its end.
//!
//! The worker has moved its children's pid namespace into the container once, so one clone3 makes a process
//! there; the child enters the other namespaces itself and exec's.

use std::{
    convert::Infallible,
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use hcs_core::{Cause, Error, ready};
use rustix::{
    event::PollFlags,
    io::Errno,
    process::{WaitId, WaitIdOptions},
    thread::Gid,
};

use crate::{
    attributes,
    cgroup::{Cgroup, Join},
    console::Console,
    launch::{c_string, c_strings, join_cgroup},
    process_plan::ProcessPlan,
    report::{self, Reporter, Step},
    seccomp,
    streams::{self, ChildStreams, Streams},
    sys::{self, CStringList},
    user_namespace::UserNamespace,
    users::{self, Identity},
    vfork,
};

/// A running process.
pub struct Process {
    /// Its id inside of the container.
    pub process_id: u32,
    /// Readable when it is dead.
    pub pidfd: OwnedFd,
    /// Our end of its standard input, if it has a pipe.
    pub stdin: Option<OwnedFd>,
    /// Our end of its standard output.
    pub stdout: Option<OwnedFd>,
    /// Our end of its standard error.
    pub stderr: Option<OwnedFd>,
    /// Its console, which is then in the place of all three.
    pub console: Option<Console>,
}

/// Everything that the child needs, made before it is born.
struct Prepared<'a> {
    init: BorrowedFd<'a>,
    /// Those of init that it enters; none where it is in them already.
    namespaces: i32,
    join: &'a Join,
    reporter: Reporter,
    streams: ChildStreams,
    programs: Vec<CString>,
    arguments: CStringList,
    environment: CStringList,
    working_directory: CString,
    identity: Identity,
    groups: Vec<Gid>,
    attributes: attributes::Prepared,
    filter: Option<&'a seccomp::Program>,
}

const NAMESPACES: i32 =
    libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWNET | libc::CLONE_NEWCGROUP;

/// The container of a process.
pub(crate) struct Place<'a> {
    /// Stands for its namespaces.
    pub init: BorrowedFd<'a>,
    /// Its root folder.
    pub root: BorrowedFd<'a>,
    /// Its cgroup.
    pub cgroup: &'a Cgroup,
    /// Who is who in it, if not who they are on the host.
    pub users: Option<&'a UserNamespace>,
    /// Its filter of system calls.
    pub filter: Option<&'a seccomp::Program>,
    /// Its namespaces are the worker's own.
    pub is_here: bool,
}

/// Starts a process.
pub(crate) fn start(plan: &ProcessPlan, place: &Place<'_>) -> Result<Process, Error> {
    let Place { init, root, cgroup, users, filter, is_here } = *place;
    let identity = users::find(root, &plan.user).map_err(|error| error.at(&plan.blame.user))?;
    let mut environment = plan.environment.clone();
    if !environment.iter().any(|variable| variable.starts_with("HOME=")) {
        environment.push(format!("HOME={}", identity.home));
    }
    let groups = plan.attributes.groups.as_ref().unwrap_or(&identity.groups).clone();
    let on_host = match users {
        None => identity.uid,
        Some(users) => users.user(identity.uid).ok_or_else(|| {
            let detail = format!("the container's user {} is nobody on the host", identity.uid);
            Error::new(Cause::InvalidData, detail).at(&plan.blame.user)
        })?,
    };
    let (streams, ours) = streams::make(plan, init, on_host)?;
    let (reporter, listener) = report::channel()?;
    let prepared = Prepared {
        init,
        namespaces: match (is_here, users) {
            (true, _) => 0,
            (false, Some(_)) => NAMESPACES | libc::CLONE_NEWUSER,
            (false, None) => NAMESPACES,
        },
        join: cgroup.join()?,
        reporter,
        streams,
        programs: programs(plan, &environment)?,
        arguments: CStringList::new(c_strings(&plan.arguments)?),
        environment: CStringList::new(c_strings(&environment)?),
        working_directory: c_string(&plan.working_directory)?,
        groups: groups.iter().map(|gid| Gid::from_raw(*gid)).collect(),
        attributes: attributes::Prepared::new(&plan.attributes).map_err(|error| {
            match &plan.blame.attributes {
                Some(process) => error.at(format!("{process}.apparmorProfile")),
                None => error,
            }
        })?,
        identity,
        filter,
    };
    match vfork::spawn(prepared.join.birthplace(), &|| run(&prepared)) {
        Ok(pidfd) => {
            drop(prepared);
            let outcome = listener.until_closed();
            if outcome.failure.is_some() || outcome.process_id.is_none() {
                let _ = wait(pidfd.as_fd());
                return Err(explain(outcome, plan));
            }
            let process_id = outcome.into_result("starting the process")?;
            let Streams { stdin, stdout, stderr, console } = ours;
            Ok(Process { process_id, pidfd, stdin, stdout, stderr, console })
        }
        Err(errno) => Err(not_made(errno, init)),
    }
}

/// Why there is no process in the container of this init. The kernel says that there is no memory when init has gone.
pub fn not_made(errno: Errno, init: BorrowedFd<'_>) -> Error {
    let has_ended = || ready::now(init, PollFlags::IN).is_ok_and(|found| !found.is_empty());
    if errno == Errno::NOMEM && has_ended() {
        return Error::new(Cause::SystemAlreadyStopped, "the container's first process has ended");
    }
    Error::from_errno(errno.raw_os_error(), "making a process")
}

/// Says which member is to blame for what the child reported.
fn explain(outcome: report::Outcome, plan: &ProcessPlan) -> Error {
    let program = plan.program.as_ref().unwrap_or(&plan.arguments[0]);
    let step = outcome.failure.map(|failure| failure.0);
    let error =
        outcome.into_result(&format!("starting {program:?}")).err().unwrap_or(Cause::Unexpected.into());
    match step {
        Some(Step::Execute) => error
            .at(&plan.blame.program)
            .hint("The program must be in the container and be executable there."),
        Some(Step::WorkingDirectory) => error.at(&plan.blame.working_directory),
        Some(Step::User) => error.at(&plan.blame.user),
        Some(step) => match (&plan.blame.attributes, attribute(step)) {
            (Some(process), Some(member)) => error.at(format!("{process}.{member}")),
            _ => error,
        },
        None => error,
    }
}

/// The member of an OCI process that a step carries out.
fn attribute(step: Step) -> Option<&'static str> {
    Some(match step {
        Step::Profile => "apparmorProfile",
        Step::OomScore => "oomScoreAdj",
        Step::Processors => "execCPUAffinity",
        Step::Scheduling => "scheduler",
        Step::IoPriority => "ioPriority",
        Step::Limits => "rlimits",
        Step::Capabilities => "capabilities",
        _ => return None,
    })
}

/// The paths to try, in order.
fn programs(plan: &ProcessPlan, environment: &[String]) -> Result<Vec<CString>, Error> {
    let name = plan.program.as_ref().unwrap_or(&plan.arguments[0]);
    if name.contains('/') {
        return Ok(vec![c_string(name)?]);
    }
    let path = environment.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or_default();
    path.split(':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| c_string(&format!("{folder}/{name}")))
        .collect()
}

/// The child: everything up to exec.
fn run(prepared: &Prepared<'_>) -> Infallible {
    if let Err((step, errno)) = enter(prepared) {
        prepared.reporter.failed(step, errno);
        sys::exit(127)
    }
    prepared.reporter.process_id();
    // As a shell does: a program that is there but cannot be run is the better answer than one that is not.
    let mut failure = Errno::NOENT;
    for program in &prepared.programs {
        match sys::execute(program, &prepared.arguments, &prepared.environment) {
            Errno::NOENT | Errno::NOTDIR => {}
            errno => failure = errno,
        }
    }
    prepared.reporter.failed(Step::Execute, failure);
    sys::exit(127)
}

fn enter(prepared: &Prepared<'_>) -> Result<(), (Step, Errno)> {
    let attributes = &prepared.attributes;
    let filter =
        || prepared.filter.map_or(Ok(()), seccomp::Program::load).map_err(|errno| (Step::Filter, errno));
    let _ = sys::die_with_parent();
    attributes.apply_outside()?;
    join_cgroup(prepared.join)?;
    if prepared.namespaces != 0 {
        sys::enter_namespaces(prepared.init, prepared.namespaces)
            .map_err(|errno| (Step::EnterNamespaces, errno))?;
    }
    rustix::process::setsid().map_err(|errno| (Step::Session, errno))?;
    streams::connect(&prepared.streams)?;
    // The worker has seen to the others.
    sys::reset_signals([libc::SIGPIPE]);
    sys::unblock_signals();
    attributes.apply_inside()?;
    // The kernel names it a moment after it has closed what is to be closed, by which it is known here that the program runs.
    // The filter may forbid it.
    if let Some(program) = prepared.programs.first() {
        sys::set_name(name_in(program));
    }
    // A process that may gain privileges can be filtered only by who has them already.
    if attributes.is_filtered_early() {
        filter()?;
    }
    attributes.become_user(prepared.identity.uid, prepared.identity.gid, &prepared.groups)?;
    rustix::process::chdir(prepared.working_directory.as_c_str())
        .map_err(|errno| (Step::WorkingDirectory, errno))?;
    attributes.forbid_new_privileges()?;
    // Last, because what comes before is refused from here on.
    if attributes.is_filtered_early() { Ok(()) } else { filter() }
}

/// What a path calls a program.
fn name_in(path: &CStr) -> &CStr {
    let bytes = path.to_bytes_with_nul();
    let begin = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    CStr::from_bytes_with_nul(&bytes[begin..]).unwrap_or(path)
}

/// The number of the process behind a descriptor; `None` when it is gone, or cannot be looked at.
pub fn number(pidfd: BorrowedFd<'_>) -> Option<u32> {
    look_up(pidfd).ok().flatten()
}

/// The same, where it matters which of the two it is.
pub fn look_up(pidfd: BorrowedFd<'_>) -> Result<Option<u32>, Errno> {
    sys::process_behind(pidfd)
}

/// How a process ended: exit code, or 128 + signal. `None` while it lives.
pub fn wait(pidfd: BorrowedFd<'_>) -> Result<Option<u32>, Errno> {
    poll_exit(pidfd, WaitIdOptions::EXITED)
}

/// As [`wait`], without waiting.
pub fn try_wait(pidfd: BorrowedFd<'_>) -> Result<Option<u32>, Errno> {
    poll_exit(pidfd, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

fn poll_exit(pidfd: BorrowedFd<'_>, options: WaitIdOptions) -> Result<Option<u32>, Errno> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd), options) {
            Ok(None) => return Ok(None),
            Ok(Some(status)) => {
                let by_signal = status.terminating_signal().map(|signal| 128 + signal);
                return Ok(status.exit_status().or(by_signal).map(|code| code as u32));
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Sends a signal to the process behind a pidfd.
pub fn signal(pidfd: BorrowedFd<'_>, number: i32) -> Result<(), Error> {
    sys::signal(pidfd, number).map_err(|errno| match errno {
        Errno::SRCH => Error::from(Cause::ProcessAlreadyStopped),
        Errno::INVAL => {
            Error::new(Cause::InvalidArgument, format!("there is no signal {number}")).at("$.Signal")
        }
        errno => Error::from_errno(errno.raw_os_error(), format!("sending signal {number}")),
    })
}

/// Kills a child and waits for its death; its exit code, as of [`wait`].
pub fn end(pidfd: BorrowedFd<'_>) -> Option<u32> {
    // Who is dead already is only waited for.
    let _ = signal(pidfd, libc::SIGKILL);
    wait(pidfd).ok().flatten()
}

//! A program of the host that runs for one system: in its cgroup, as a user of its own, with the descriptors that it is
//! given and no others, and gone with the worker.

use std::{
    convert::Infallible,
    ffi::CString,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use hcs_core::Error;
use rustix::{
    io::{Errno, FdFlags},
    process::{Gid, Uid},
    thread::CapabilitySet,
};

use crate::{
    attributes::be_killed_as_others,
    cgroup::Cgroup,
    host_view::{self, View},
    launch::{c_strings, join_cgroup},
    privileges, process,
    report::{self, Step},
    sys::{self, CStringList},
    vfork,
};

/// What is started.
pub struct Program<'a> {
    /// Its file.
    pub path: &'a Path,
    /// Its arguments, its name first.
    pub arguments: &'a [String],
    /// Its environment, as NAME=value.
    pub environment: &'a [String],
    /// Its standard input.
    pub stdin: BorrowedFd<'a>,
    /// Its standard error. Its standard output is nowhere.
    pub stderr: BorrowedFd<'a>,
    /// Descriptors that it has under the same numbers.
    pub keep: &'a [BorrowedFd<'a>],
    /// Who it runs as: user and group of this number.
    pub user: u32,
    /// What it may do beside, if that is root; others have no privilege.
    pub capabilities: CapabilitySet,
    /// Groups that it is in beside.
    pub groups: &'a [u32],
    /// All that it sees of the host; without one it sees what everybody sees.
    pub view: Option<&'a View>,
}

/// Starts it.
pub fn start(program: &Program<'_>, cgroup: &Cgroup) -> Result<OwnedFd, Error> {
    let doing = format!("starting {}", program.path.display());
    let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), &doing);
    let path = CString::new(program.path.as_os_str().as_bytes()).map_err(|_| failed(Errno::INVAL))?;
    let arguments = CStringList::new(c_strings(program.arguments)?);
    let environment = CStringList::new(c_strings(program.environment)?);
    let join = cgroup.join()?;
    let (reporter, listener) = report::channel()?;
    let child = || -> Infallible {
        let (step, errno) = match join_cgroup(join).and_then(|()| become_it(program)) {
            Ok(()) => (Step::Execute, sys::execute(&path, &arguments, &environment)),
            Err(failure) => failure,
        };
        reporter.failed(step, errno);
        sys::exit(127)
    };
    let namespaces = if program.view.is_some() { host_view::NAMESPACES } else { 0 };
    let pidfd = vfork::spawn_in(namespaces, join.birthplace(), &child).map_err(failed)?;
    drop(reporter);
    match listener.until_closed().failure {
        None => Ok(pidfd),
        Some((step, errno)) => {
            let _ = process::wait(pidfd.as_fd());
            Err(Error::from_errno(errno.raw_os_error(), format!("{doing}: {}", step.text())))
        }
    }
}

fn become_it(program: &Program<'_>) -> Result<(), (Step, Errno)> {
    let at = |step: Step| move |errno: Errno| (step, errno);
    rustix::process::setsid().map_err(at(Step::Session))?;
    be_killed_as_others().map_err(at(Step::OomScore))?;
    if let Some(view) = program.view {
        view.enter().map_err(at(Step::View))?;
    }
    sys::reset_signals([libc::SIGPIPE]);
    sys::unblock_signals();
    // Who gets to what it makes is decided by the folder, and by the program, and not by whoever started the service.
    rustix::process::umask(rustix::fs::Mode::empty());
    rustix::stdio::dup2_stdin(program.stdin).map_err(at(Step::Streams))?;
    rustix::stdio::dup2_stderr(program.stderr).map_err(at(Step::Streams))?;
    for fd in program.keep {
        rustix::io::fcntl_setfd(fd, FdFlags::empty()).map_err(at(Step::Streams))?;
    }
    rustix::thread::set_no_new_privs(true).map_err(at(Step::NoNewPrivileges))?;
    // What it is bounded by is what root has after it has run a program.
    privileges::limit(program.capabilities).map_err(at(Step::Capabilities))?;
    become_user(program).map_err(at(Step::User))
}

fn become_user(program: &Program<'_>) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(program.user), Gid::from_raw(program.user));
    set_groups(program.groups)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    // Every capability goes with root.
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    // Forgotten at a change of the user, so it comes behind that.
    sys::die_with_parent()
}

fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // In a child nothing is allocated, and nobody is in more.
    let mut all = [Gid::ROOT; 8];
    for (place, group) in all.iter_mut().zip(groups) {
        *place = Gid::from_raw(*group);
    }
    rustix::thread::set_thread_groups(all.get(..groups.len()).ok_or(Errno::INVAL)?)
}

/// Does something with the rights that a user has on files who is in these groups; what is in between must not be left by
/// a panic. The process must have one thread, and is in these groups from then on.
pub fn with_rights_of<T>(user: u32, groups: &[u32], act: impl FnOnce() -> T) -> Result<T, Errno> {
    set_groups(groups)?;
    sys::set_file_user(user, user)?;
    let result = act();
    sys::set_file_user(0, 0)?;
    Ok(result)
}

//! A container whose packets a program of the host (pasta) turns into ordinary sockets.
//!
//! The program lives in the container's cgroups, so that whoever removes those ends it; only not in that of the devices,
//! because it needs /dev/net/tun. When it goes into the background, the worker becomes its parent again.

use std::{
    convert::Infallible,
    ffi::CString,
    io::Read,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use hcs_core::{Cause, Error, host_program};
use rustix::{
    io::Errno,
    mount::{MountPropagationFlags, MoveMountFlags, OpenTreeFlags},
    pipe::PipeFlags,
    process::{Pid, PidfdFlags},
};

use super::plan::MODE;
use crate::{
    attributes::be_killed_as_others,
    cgroup::{Cgroup, Join},
    launch::join_cgroup,
    process,
    sys::{self, CStringList},
    vfork,
};

/// The namespace is mounted here, for the program's eyes only: it opens nothing below /proc of another process. This
/// is a file that every kernel has and the program does not want.
const PLACE: &str = "/proc/version";

const ARGUMENTS: &[&str] = &[
    "pasta",
    "--config-net",
    "--quiet",
    // It makes a user namespace of its own afterwards.
    "--runas",
    "0:0",
    // The host's own services are not the container's.
    "--no-map-gw",
    "--tcp-ports",
    "none",
    "--udp-ports",
    "none",
    "--tcp-ns",
    "none",
    "--udp-ns",
    "none",
    "--no-netns-quit",
    "--netns",
    PLACE,
];

/// Fails if the program is not there.
pub fn check() -> Result<(), Error> {
    program().map(|_| ())
}

fn program() -> Result<PathBuf, Error> {
    host_program::find("pasta", "passt").map_err(|error| error.at(MODE))
}

/// The program, running.
pub struct Helper {
    pidfd: OwnedFd,
    /// Its number on the host.
    pub pid: u32,
}

impl Helper {
    /// Ends it and waits for its end.
    pub fn end(&self) {
        process::end(self.pidfd.as_fd());
    }
}

/// Starts it. It goes into the background when the container is connected.
pub fn connect(init: BorrowedFd<'_>, namespace: BorrowedFd<'_>, cgroup: &Cgroup) -> Result<Helper, Error> {
    let program = program()?;
    let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), "starting pasta");
    let program = CString::new(program.as_os_str().as_bytes()).map_err(|_| failed(Errno::INVAL))?;
    let arguments = ARGUMENTS.iter().filter_map(|argument| CString::new(*argument).ok()).collect();
    let (arguments, environment) = (CStringList::new(arguments), CStringList::new(Vec::new()));
    let (said, say) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
    let join = cgroup.join_without_devices()?;
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).map_err(failed)?;
    let child = || -> Infallible {
        let ready = enter(namespace, &join).and_then(|()| rustix::stdio::dup2_stderr(&say));
        if ready.is_ok() {
            sys::execute(&program, &arguments, &environment);
        }
        sys::exit(127)
    };
    let pidfd = vfork::spawn(join.birthplace(), &child).map_err(failed)?;
    drop(say);
    let mut text = String::new();
    // Who goes into the background closes it; what cannot be read is only told less well.
    let _ = std::fs::File::from(said).read_to_string(&mut text);
    match process::wait(pidfd.as_fd()) {
        Ok(Some(0)) => find(init, cgroup),
        _ => Err(Error::new(Cause::Unexpected, format!("pasta does not start: {}", text.trim())).at(MODE)),
    }
}

/// Finds what has gone into the background: our only child in the container's cgroup beside init.
fn find(init: BorrowedFd<'_>, cgroup: &Cgroup) -> Result<Helper, Error> {
    let seen = sys::process_behind(init)
        .map_err(|errno| Error::from_errno(errno.raw_os_error(), "looking at the container's processes"));
    let (own, init) = (std::process::id(), seen?);
    let is_it = |pid: &u32| Some(*pid) != init && parent(*pid) == Some(own);
    let open = |pid: u32| {
        let pidfd = rustix::process::pidfd_open(Pid::from_raw(pid as i32)?, PidfdFlags::empty()).ok()?;
        Some(Helper { pidfd, pid })
    };
    cgroup
        .processes()?
        .into_iter()
        .find(is_it)
        .and_then(open)
        .ok_or_else(|| Error::new(Cause::Unexpected, "pasta died when it had started").at(MODE))
}

/// Ends what a start that has failed has left in the background, in the group of a container in which nothing else is.
pub fn end_lost(cgroup: &Cgroup) -> Result<(), Error> {
    for pid in cgroup.processes()? {
        match Pid::from_raw(pid as i32).map(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty())) {
            None | Some(Err(Errno::SRCH)) => {}
            Some(Ok(pidfd)) => {
                process::end(pidfd.as_fd());
            }
            Some(Err(errno)) => {
                return Err(Error::from_errno(errno.raw_os_error(), "ending what a failed start has left"));
            }
        }
    }
    Ok(())
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may contain anything, and the state.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// In the child: joins the cgroups and mounts the namespace where the program looks for it.
fn enter(namespace: BorrowedFd<'_>, join: &Join) -> Result<(), Errno> {
    join_cgroup(join).map_err(|failed| failed.1)?;
    be_killed_as_others()?;
    sys::reset_signals([libc::SIGPIPE]);
    sys::unshare(libc::CLONE_NEWNS)?;
    let propagation = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", propagation)?;
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let file = rustix::mount::open_tree(namespace, c"", flags)?;
    rustix::mount::move_mount(
        file.as_fd(),
        c"",
        rustix::fs::CWD,
        PLACE,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}

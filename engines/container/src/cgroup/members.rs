//! Who is in a group and in the groups below it, by its folder; and the end of them.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Instant,
};

use hcs_core::ready;
use rustix::{
    event::PollFlags,
    process::{Pid, PidfdFlags, Signal},
};

/// The processes of a group and of the groups in it. Where there is no group there are none; where they cannot be listed
/// nobody may think that all are dead.
pub fn processes_below(folder: &Path) -> io::Result<Vec<Pid>> {
    let own = match fs::read_to_string(folder.join("cgroup.procs")) {
        Err(error) if has_none(&error) => return Ok(Vec::new()),
        own => own?,
    };
    let mut pids: Vec<Pid> = own.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect();
    for inner in folders_in(folder)? {
        pids.extend(processes_below(&inner)?);
    }
    Ok(pids)
}

/// The groups in a group.
pub fn folders_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if has_none(&error) => return Ok(Vec::new()),
        entries => entries?,
    };
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    Ok(entries.flatten().filter(is_folder).map(|entry| entry.path()).collect())
}

/// Whether a group is not there, or is just being removed, or has its processes listed in the group that it is in.
fn has_none(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP))
}

/// Removes a group and those in it, which must be empty.
pub fn remove_tree(folder: &Path) -> io::Result<()> {
    for inner in folders_in(folder)? {
        remove_tree(&inner)?;
    }
    fs::remove_dir(folder)
}

/// Kills those of these processes that are in the group and waits until they are dead. A number may have become a stranger's
/// since it was read; whose number is in the group when there is a descriptor of it, is its process, and stays it.
pub fn kill_and_wait(folder: &Path, pids: &[Pid], deadline: Instant) -> io::Result<()> {
    let open = |pid: &Pid| Some((*pid, rustix::process::pidfd_open(*pid, PidfdFlags::empty()).ok()?));
    let opened: Vec<(Pid, OwnedFd)> = pids.iter().filter_map(open).collect();
    let members = processes_below(folder)?;
    let ours: Vec<OwnedFd> =
        opened.into_iter().filter(|(pid, _)| members.contains(pid)).map(|(_, pidfd)| pidfd).collect();
    for pidfd in &ours {
        let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    }
    for pidfd in &ours {
        // A pidfd becomes readable when the process is dead.
        let _ = ready::until(pidfd, PollFlags::IN, Some(deadline));
    }
    Ok(())
}

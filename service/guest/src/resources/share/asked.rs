//! What the server of shared folders is asked, by a process of its own.
//!
//! Without an answer of that server nobody comes back from its file system, and the agent is one thread. So it never goes there
//! itself: it starts itself once more, with the question as arguments, and waits for that no longer than it may. How that
//! process ends is the answer, as the number of an error; a folder that it has opened comes through its standard input.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hcs_core::ready;
use hcs_ipc::socket;
use rustix::{
    event::PollFlags,
    fs::{Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::UnmountFlags,
    process::{Pid, PidfdFlags, pidfd_open},
};

use super::ALL;

/// What the process is called with, so that it knows itself.
pub const CALLED: &str = "ask-shares";
const OPEN: &str = "open";
const DETACH: &str = "detach";

/// How long the server may take to answer, and how long a process that was waiting for it to die.
const PATIENCE: Duration = Duration::from_secs(5);
const DYING: Duration = Duration::from_millis(200);

/// Those whom the server has not answered when they were killed. They die when it does, and the next question takes them away.
static STUCK: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// The folder of a share. It is really opened, because only then the kernel mounts it.
pub fn open(name: &str) -> Result<OwnedFd, Errno> {
    let (ours, theirs) = UnixStream::pair().map_err(of_io)?;
    ask(OPEN, name, OwnedFd::from(theirs).into())?;
    let received = socket::receive(&ours, &mut [0]).map_err(of_io)?;
    received.fds.into_iter().next().ok_or(Errno::IO)
}

/// Detaches what the kernel has mounted for a share.
pub fn detach(name: &str) -> Result<(), Errno> {
    ask(DETACH, name, Stdio::null())
}

/// Has another process ask this; its standard input is where it brings what it was asked for.
fn ask(question: &str, name: &str, input: Stdio) -> Result<(), Errno> {
    let mut stuck = STUCK.lock().unwrap_or_else(PoisonError::into_inner);
    stuck.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    let mut command = Command::new("/proc/self/exe");
    command.arg0("hcs-guest").args([CALLED, question, name]);
    let mut child =
        command.stdin(input).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(of_io)?;
    let ended = ends(&child, PATIENCE);
    if ended != Ok(true) {
        let _ = child.kill();
        // Who has asked already cannot even be killed.
        match ends(&child, DYING) {
            Ok(true) => drop(child.wait()),
            _ => stuck.push(child),
        }
        return Err(ended.err().unwrap_or(Errno::TIMEDOUT));
    }
    match child.wait().map_err(of_io)?.code() {
        Some(0) => Ok(()),
        Some(errno) => Err(Errno::from_raw_os_error(errno)),
        None => Err(Errno::IO),
    }
}

/// Whether it does so in time.
fn ends(child: &Child, patience: Duration) -> Result<bool, Errno> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    Ok(!ready::until(&process, PollFlags::IN, Some(Instant::now() + patience))?.is_empty())
}

/// Is that process.
pub fn answer(question: impl Iterator<Item = String>) -> ExitCode {
    let question: Vec<String> = question.collect();
    let asked = match question.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [OPEN, name] => bring(name),
        [DETACH, name] => {
            rustix::mount::unmount(Path::new(ALL).join(name), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        }
        _ => Err(Errno::INVAL),
    };
    // No error has a number that is longer, but those that programs never see.
    let code = |errno: Errno| u8::try_from(errno.raw_os_error()).unwrap_or(u8::MAX);
    ExitCode::from(asked.map_or_else(code, |()| 0))
}

fn bring(name: &str) -> Result<(), Errno> {
    let all = rustix::fs::open(ALL, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let folder = find(&all, name)?;
    socket::send(io::stdin(), &[0], &[folder.as_fd()]).map_err(of_io)?;
    Ok(())
}

/// A share is one folder, and no link to another.
fn find(all: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let below = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(all, name, flags, Mode::empty(), below)
}

fn of_io(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::device::recorded::Recorded;

    #[test]
    fn a_share_is_one_folder_and_no_link() {
        let host = Recorded::new("shares");
        host.folder("0/inner").file("file", "").link("link", "0");
        let all = rustix::fs::open(host.path(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        find(&all, "0").unwrap();
        for (name, errno) in
            [("1", Errno::NOENT), ("file", Errno::NOTDIR), ("link", Errno::LOOP), ("..", Errno::XDEV)]
        {
            assert_eq!(find(&all, name).unwrap_err(), errno, "{name}");
        }
    }

    #[test]
    fn a_question_that_nobody_knows_is_refused() {
        let asked = |question: &[&str]| answer(question.iter().map(|word| (*word).to_owned()));
        let refused = format!("{:?}", ExitCode::from(u8::try_from(Errno::INVAL.raw_os_error()).unwrap()));
        for question in [&[][..], &["open"], &["close", "0"], &["open", "0", "1"]] {
            assert_eq!(format!("{:?}", asked(question)), refused, "{question:?}");
        }
    }
}

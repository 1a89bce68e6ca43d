//! `hcs --private`: a service for one command, with everything that it makes below a temporary folder.
//!
//! The service holds the read end of a pipe from us as its standard input. However we end, the pipe ends with us, and the
//! service ends its systems, removes its folder and goes.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::{fs::PermissionsExt, net::UnixDatagram, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use hcs::link::Options;
use hcs_core::{mountinfo, random};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::{failure::Failure, output, programs};

/// How long a service may take until it can be used.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Variables that would put a service, or a part of it, elsewhere than below the folder that it is given.
const ELSEWHERE: [&str; 5] = ["HCS_CONFIG", "HCS_ROOT", "HCS_RUN_FOLDER", "HCS_SOCKET", "HCS_STATE_FOLDER"];

/// The service.
pub struct Private {
    folder: PathBuf,
    child: Child,
}

impl Private {
    /// Starts one and waits until it can be used.
    pub fn start() -> Result<Private, Failure> {
        let failed = |error: io::Error| Failure::io(&error, "starting a service for this command");
        let folder = new_folder().map_err(failed)?;
        let ready = UnixDatagram::bind(folder.join("ready"));
        let started = ready.and_then(|ready| Ok((spawn(&folder)?, ready)));
        let (child, ready) = started.map_err(|error| {
            // Nothing is in it but what we made.
            let _ = fs::remove_dir_all(&folder);
            failed(error)
        })?;
        let mut service = Private { folder, child };
        if let Err(error) = service.await_ready(&ready) {
            // What is not ready may never hear that its input has ended. It has no systems yet.
            let _ = service.child.kill();
            return Err(failed(error));
        }
        Ok(service)
    }

    /// How it is reached.
    pub fn options(&self) -> Options {
        Options { socket: self.folder.join("run/hcs.sock") }
    }

    fn await_ready(&mut self, ready: &UnixDatagram) -> io::Result<()> {
        let pid = Pid::from_child(&self.child);
        let end = pidfd_open(pid, PidfdFlags::empty())?;
        let mut both = [PollFd::new(ready, PollFlags::IN), PollFd::new(&end, PollFlags::IN)];
        let found = loop {
            match poll(&mut both, Some(&PATIENCE)) {
                Err(rustix::io::Errno::INTR) => {}
                found => break found?,
            }
        };
        if !both[0].revents().is_empty() {
            return Ok(());
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let last = log.lines().last().unwrap_or("it says nothing");
        Err(io::Error::other(match found {
            0 => format!("it is not ready after {} s, and said last: {last}", PATIENCE.tv_sec),
            _ => last.to_owned(),
        }))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It can only have ended already.
        let _ = self.child.wait();
        // One that was killed has left its folder.
        if let Err(error) = remove(&self.folder) {
            output::warn(&format!("{} stays: {error}", self.folder.display()));
        }
    }
}

/// Removes the folder of a service that is gone. What somebody has mounted in it is not removed with it; a folder that is gone
/// already is no failure.
pub fn remove(folder: &Path) -> io::Result<()> {
    let removed = mountinfo::unmount_below(folder).and_then(|()| fs::remove_dir_all(folder));
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// A folder that virtual machines, which are users of their own, can pass through.
fn new_folder() -> io::Result<PathBuf> {
    let folder =
        std::env::temp_dir().join(format!("hcs-private-{:016x}", u64::from_ne_bytes(random::bytes()?)));
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, Permissions::from_mode(0o711))?;
    Ok(folder)
}

fn spawn(folder: &Path) -> io::Result<Child> {
    let log = File::create(folder.join("log"))?;
    let mut command = Command::new(programs::find("hcsd"));
    for variable in ELSEWHERE {
        command.env_remove(variable);
    }
    command
        .args(["--temporary", "--root"])
        .arg(folder)
        .env("NOTIFY_SOCKET", folder.join("ready"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        // Ctrl-C is meant for what we do with it.
        .process_group(0)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("hcsd: {error}")))
}

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
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::{failure::Failure, random};

/// How long a service may take until it can be used.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

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
        service.await_ready(&ready).map_err(failed)?;
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
        while let Err(errno) = poll(&mut both, Some(&PATIENCE)) {
            if errno != rustix::io::Errno::INTR {
                return Err(errno.into());
            }
        }
        if !both[0].revents().is_empty() {
            return Ok(());
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let last = log.lines().last().unwrap_or("it says nothing").to_owned();
        Err(io::Error::other(last))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It can only have ended already.
        let _ = self.child.wait();
        // One that was killed has left its folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
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
    Command::new(program())
        .args(["--temporary", "--root"])
        .arg(folder)
        .env_remove("HCS_SOCKET")
        .env_remove("HCS_ROOT")
        .env("NOTIFY_SOCKET", folder.join("ready"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        // Ctrl-C is meant for what we do with it.
        .process_group(0)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("hcsd: {error}")))
}

/// hcsd beside this program, or else the one that is found as programs are found.
pub fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    Some(own.with_file_name("hcsd")).filter(|path| path.exists()).unwrap_or_else(|| "hcsd".into())
}

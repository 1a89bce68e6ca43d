//! Images whose bytes are not simply in the file are served as a file that has them, by `qemu-storage-daemon`.
//!
//! It is found again by its arguments, also by other processes, later, and while it is only beginning. Since it is in
//! no process's care, its end is asked for by whoever releases the disk, or finds what a crash has left.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error, host_program, ready};
use rustix::{
    event::PollFlags,
    io::Errno,
    mount::UnmountFlags,
    process::{Pid, PidfdFlags, Signal},
};

use crate::{failure, image::Format};

/// Its program.
const PROGRAM: &str = "qemu-storage-daemon";
/// How long it may take to begin, and to write back what is left, before it is killed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one that is killed may take to be gone: as long as its file system holds it.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// What is served in a folder.
pub struct Server {
    /// The file that is the disk, when it is served.
    pub disk: PathBuf,
}

impl Server {
    /// The one of this folder, served or not.
    pub fn of(folder: &Path) -> Server {
        Server { disk: folder.join("disk") }
    }

    /// Serves an image. It returns when the file is there. `lock` is that of the folder: who begins holds it too, until it serves.
    /// In between it forks, and who looks through the processes one by one may see neither the one that has gone meanwhile nor
    /// the one that has come.
    pub fn begin(
        &self,
        image: &File,
        format: Format,
        read_only: bool,
        lock: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let failed = failure::io(&self.disk, "making");
        File::create(&self.disk).map_err(&failed)?;
        let image = image.try_clone().map_err(&failed)?;
        let lock = lock.try_clone_to_owned().map_err(failed)?;
        let (fixed, writable) = if read_only { ("on", "off") } else { ("off", "on") };
        let node =
            |name: &str, more: &str| format!("node-name={name},read-only={fixed},discard=unmap,{more}");
        let disk = format!("driver={},file=file", format.driver());
        let mut command = Command::new(host_program::find(PROGRAM, "qemu-utils")?);
        command
            // It opens its standard input anew, so whoever has the file open for reading only stays with that.
            .stdin(Stdio::from(image))
            // It says nothing there, and closes it when it serves.
            .stdout(Stdio::from(lock))
            .args(["--blockdev", &node("file", "driver=file,filename=/proc/self/fd/0")])
            .args(["--blockdev", &node("disk", &disk)])
            .args([
                "--export",
                &format!("type=fuse,id=disk,node-name=disk,writable={writable},{}", self.sign()),
            ])
            .arg("--daemonize");
        host_program::run(&mut command, PATIENCE).inspect_err(|_| {
            let _ = self.end();
        })
    }

    /// Ends it and removes its files. Nothing to end is success.
    pub fn end(&self) -> Result<(), Error> {
        // The file comes before the process. Of one whose server has been killed nothing can be learned.
        match fs::symlink_metadata(&self.disk) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            _ => {}
        }
        // Until none is found: one that is beginning becomes another process.
        while let Some(process) = self.process()? {
            // It writes back what is left, and then ends.
            if !ends_by(&process, Signal::TERM, PATIENCE) && !ends_by(&process, Signal::KILL, LAST_PATIENCE) {
                let detail = format!("the server of {} does not end", self.disk.display());
                return Err(Error::new(Cause::DeadlineExceeded, detail)
                    .hint("What its image is on does not answer. Try again when it does."));
            }
        }
        match rustix::mount::unmount(&self.disk, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // Nothing is mounted there, or nothing is there.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(errno) => return Err(failure::on("ending the server of the disk")(errno)),
        }
        fs::remove_file(&self.disk).map_err(failure::io(&self.disk, "removing"))
    }

    /// The argument by which its process is known.
    fn sign(&self) -> String {
        format!("mountpoint={}", self.disk.display())
    }

    /// Its process, if there is one. Anybody can give a process such arguments, so it must be that program, and of our user.
    /// One that cannot be looked at is an error, and not none: it would be left with the image.
    fn process(&self) -> Result<Option<OwnedFd>, Error> {
        let sign = self.sign();
        let failed = failure::io(Path::new("/proc"), "reading");
        for entry in fs::read_dir("/proc").map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let Some(pid) =
                entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
            else {
                continue;
            };
            let (folder, sign) = (entry.path(), sign.as_bytes());
            if !is_server(&folder, sign).map_err(&failed)? {
                continue;
            }
            let process = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
                Err(Errno::SRCH) => continue,
                opened => opened.map_err(failure::on("looking at the server of the disk"))?,
            };
            // Looked at again: the number may have been given to another before it was opened.
            if is_server(&folder, sign).map_err(&failed)? {
                return Ok(Some(process));
            }
        }
        Ok(None)
    }
}

/// Whether the process of this folder below /proc is the program with this argument, and of our user.
fn is_server(process: &Path, sign: &[u8]) -> io::Result<bool> {
    /// Nobody who is gone or cannot be ours.
    fn if_ours<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
        match outcome {
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::SRCH | Errno::ACCESS) => Ok(None),
                _ => Err(error),
            },
            Ok(found) => Ok(Some(found)),
        }
    }
    let Some(arguments) = if_ours(fs::read(process.join("cmdline")))? else { return Ok(false) };
    if !arguments.split(|byte| *byte == 0).any(|argument| argument.ends_with(sign)) {
        return Ok(false);
    }
    let own = rustix::process::geteuid().as_raw();
    let is_of_us = if_ours(fs::metadata(process))?.is_some_and(|about| about.uid() == own);
    let program = if_ours(fs::read_link(process.join("exe")))?;
    Ok(is_of_us && program.is_some_and(|program| is_program(&program)))
}

/// Whether a process runs the program; the kernel tells so of one that was replaced since.
fn is_program(path: &Path) -> bool {
    let name = path.file_name().map_or(&b""[..], OsStrExt::as_bytes);
    name.strip_suffix(b" (deleted)").unwrap_or(name) == PROGRAM.as_bytes()
}

/// Sends a signal; whether the process has ended in time.
fn ends_by(process: &OwnedFd, signal: Signal, patience: Duration) -> bool {
    // One that has ended already takes none.
    let _ = rustix::process::pidfd_send_signal(process, signal);
    let death = ready::until(process, PollFlags::IN, Some(Instant::now() + patience));
    death.is_ok_and(|death| !death.is_empty())
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::CommandExt,
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn a_process_that_only_says_it_is_the_server_is_none() {
        let folder = std::env::temp_dir().join(format!("hcs-disks-server-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let server = Server::of(&folder);
        let mut stranger =
            Command::new("/bin/cat").arg0(server.sign()).stdin(Stdio::piped()).spawn().unwrap();
        assert!(server.process().unwrap().is_none());
        drop(stranger.stdin.take());
        assert!(stranger.wait().unwrap().success());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_program_that_was_replaced_is_still_the_one() {
        assert!(is_program(Path::new("/usr/bin/qemu-storage-daemon")));
        assert!(is_program(Path::new("/usr/bin/qemu-storage-daemon (deleted)")));
        assert!(!is_program(Path::new("/usr/bin/sudo")) && !is_program(Path::new("/")));
    }

    #[test]
    fn who_does_not_listen_to_a_signal_is_waited_for_no_longer_than_was_said() {
        let mut deaf = Command::new("/bin/sh")
            .args(["-c", "trap '' TERM; echo; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0];
        std::io::Read::read_exact(deaf.stdout.as_mut().unwrap(), &mut ready).unwrap();
        let pid = Pid::from_raw(deaf.id().try_into().unwrap()).unwrap();
        let process = rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap();
        assert!(!ends_by(&process, Signal::TERM, Duration::from_millis(50)));
        assert!(ends_by(&process, Signal::KILL, LAST_PATIENCE));
        deaf.wait().unwrap();
    }
}

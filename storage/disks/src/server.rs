//! Images whose bytes are not simply in the file are served as a file that has them, by `qemu-storage-daemon`.
//!
//! It is found again by its arguments, also by other processes, later, and while it is only beginning. Since it is in
//! no process's care, its end is asked for by whoever releases the disk, or finds what a crash has left.

use std::{
    fs::{self, File},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
};

use hcs_core::Error;
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    mount::UnmountFlags,
    process::{Pid, PidfdFlags, Signal},
};

use crate::{failure, host_program, image::Format};

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

    /// Serves an image. It returns when the file is there.
    pub fn begin(&self, image: &File, format: Format, read_only: bool) -> Result<(), Error> {
        let failed = failure::io(&self.disk, "making");
        File::create(&self.disk).map_err(&failed)?;
        let image = image.try_clone().map_err(failed)?;
        let (fixed, writable) = if read_only { ("on", "off") } else { ("off", "on") };
        let node =
            |name: &str, more: &str| format!("node-name={name},read-only={fixed},discard=unmap,{more}");
        let disk = format!("driver={},file=file", format.driver());
        let mut command = host_program::find("qemu-storage-daemon", "qemu-utils")?;
        command
            // It opens its standard input anew, so whoever has the file open for reading only stays with that.
            .stdin(Stdio::from(image))
            .args(["--blockdev", &node("file", "driver=file,filename=/proc/self/fd/0")])
            .args(["--blockdev", &node("disk", &disk)])
            .args([
                "--export",
                &format!("type=fuse,id=disk,node-name=disk,writable={writable},{}", self.sign()),
            ])
            .arg("--daemonize");
        host_program::run(&mut command).inspect_err(|_| {
            let _ = self.end();
        })
    }

    /// Ends it and removes its files. Nothing to end is success.
    pub fn end(&self) -> Result<(), Error> {
        // The file comes before the process.
        if fs::symlink_metadata(&self.disk).is_err() {
            return Ok(());
        }
        // Until none is found: one that is beginning becomes another process.
        while let Some(process) = self.process()? {
            // It writes back what is left, and then ends.
            let _ = rustix::process::pidfd_send_signal(&process, Signal::TERM);
            let mut death = [PollFd::new(&process, PollFlags::IN)];
            while rustix::event::poll(&mut death, None) == Err(Errno::INTR) {}
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

    /// Its process, if there is one.
    fn process(&self) -> Result<Option<OwnedFd>, Error> {
        let sign = self.sign();
        let is_ours = |number: i32| {
            let arguments = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
            arguments.split(|byte| *byte == 0).any(|argument| argument.ends_with(sign.as_bytes()))
        };
        let processes = fs::read_dir("/proc").map_err(failure::io(Path::new("/proc"), "reading"))?;
        for number in processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            if is_ours(number)
                && let Some(pid) = Pid::from_raw(number)
                && let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty())
                // Looked at again: the number may have been given to another before it was opened.
                && is_ours(number)
            {
                return Ok(Some(pidfd));
            }
        }
        Ok(None)
    }
}

//! Programs that do something for one machine beside its QEMU. They run as the machine's user and in its cgroup, and end
//! with whoever holds them.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use hcs_container::{
    cgroup::Cgroup,
    host_process::{self, Program},
    network::host_program,
    process,
};
use hcs_core::Error;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
    thread::CapabilitySet,
};

use crate::{plan::Host, prefix};

/// Such a program.
pub struct Helper {
    pidfd: OwnedFd,
}

impl Helper {
    /// Starts one; these descriptors stay open in it.
    pub fn start(
        path: &Path,
        arguments: &[String],
        keep: &[BorrowedFd<'_>],
        host: &Host,
        cgroup: &Cgroup,
    ) -> Result<Helper, Error> {
        let nowhere = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| failed(path, errno))?;
        let program = Program {
            path,
            arguments,
            environment: &[],
            stdin: nowhere.as_fd(),
            stderr: nowhere.as_fd(),
            keep,
            user: host.user,
            capabilities: CapabilitySet::empty(),
            groups: &[],
            view: None,
        };
        host_process::start(&program, cgroup).map(|pidfd| Helper { pidfd })
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        process::end(self.pidfd.as_fd());
    }
}

/// The two ends of a conversation: QEMU's, and the program's.
pub fn conversation(path: &Path) -> Result<(OwnedFd, OwnedFd), Error> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|errno| failed(path, errno))
}

/// Finds a program: beside QEMU, or where the host has its programs.
pub fn find(host: &Host, name: &str, package: &str, blame: &str) -> Result<PathBuf, Error> {
    let beside = prefix(Path::new(&host.qemu)).join("bin").join(name);
    if beside.is_file() {
        return Ok(beside);
    }
    host_program::find(name, package, blame)
}

fn failed(path: &Path, errno: Errno) -> Error {
    Error::from_errno(errno.raw_os_error(), format!("starting {}", path.display()))
}

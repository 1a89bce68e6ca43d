//! Programs that do something for one machine beside its QEMU. They run in its cgroup, mostly as its user, and end with
//! whoever holds them.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use hcs_container::{
    cgroup::Cgroup,
    host_process::{self, Program},
    host_view::View,
    process,
};
use hcs_core::{Error, host_program};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
    thread::CapabilitySet,
};

use crate::{plan::Host, prefix};

/// The worker's program, as the process sees itself wherever it is.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// Such a program.
pub struct Helper {
    pidfd: OwnedFd,
}

impl Helper {
    /// Starts one as the machine's user; these descriptors stay open in it. One that needs the network of the host sees the
    /// host, and makes itself blind.
    pub fn start(
        path: &Path,
        arguments: &[String],
        keep: &[BorrowedFd<'_>],
        (host, view): (&Host, Option<&View>),
        cgroup: &Cgroup,
    ) -> Result<Helper, Error> {
        let nowhere = nowhere(path)?;
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
            view,
        };
        host_process::start(&program, cgroup).map(|pidfd| Helper { pidfd })
    }

    /// Starts one that acts for users of the guest or of the host: as root with these rights, and it sees nothing but this.
    pub fn serve(
        path: &Path,
        arguments: &[String],
        keep: &[BorrowedFd<'_>],
        (capabilities, view): (CapabilitySet, &View),
        cgroup: &Cgroup,
    ) -> Result<Helper, Error> {
        let nowhere = nowhere(path)?;
        serve((path, arguments), (nowhere.as_fd(), keep), (capabilities, view), cgroup)
    }

    /// The same with the worker's own program in another role, which serves at its standard input.
    pub fn in_role(
        role: &str,
        stdin: BorrowedFd<'_>,
        rights: (CapabilitySet, &View),
        cgroup: &Cgroup,
    ) -> Result<Helper, Error> {
        let arguments = [format!("hcs-{role}"), role.to_owned()];
        serve((Path::new(OWN_PROGRAM), &arguments), (stdin, &[]), rights, cgroup)
    }

    /// Stands for it.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn serve(
    (path, arguments): (&Path, &[String]),
    (stdin, keep): (BorrowedFd<'_>, &[BorrowedFd<'_>]),
    (capabilities, view): (CapabilitySet, &View),
    cgroup: &Cgroup,
) -> Result<Helper, Error> {
    let complaints = std::io::stderr();
    let program = Program {
        path,
        arguments,
        environment: &[],
        stdin,
        // What it complains of is the service's to tell.
        stderr: complaints.as_fd(),
        keep,
        user: 0,
        capabilities,
        groups: &[],
        view: Some(view),
    };
    host_process::start(&program, cgroup).map(|pidfd| Helper { pidfd })
}

fn nowhere(path: &Path) -> Result<OwnedFd, Error> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| failed(path, errno))
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
    host_program::find(name, package).map_err(|error| error.at(blame))
}

fn failed(path: &Path, errno: Errno) -> Error {
    Error::from_errno(errno.raw_os_error(), format!("starting {}", path.display()))
}

//! The trusted platform module of a machine: a program of its own, whose state is in memory.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use hcs_container::cgroup::Cgroup;
use hcs_core::Error;
use rustix::fs::MemfdFlags;

use crate::{
    helper::{self, Helper},
    plan::Host,
};

/// It, running.
pub struct Tpm {
    _program: Helper,
    /// What it remembers.
    _state: OwnedFd,
}

/// Starts it; what QEMU speaks to it by.
pub fn start(host: &Host, cgroup: &Cgroup) -> Result<(OwnedFd, Tpm), Error> {
    let path = helper::find(host, "swtpm", "swtpm", "$.VirtualMachine.SecuritySettings.EnableTpm")?;
    let (ours, theirs) = helper::conversation(&path)?;
    let failed = |errno: rustix::io::Errno| Error::from_errno(errno.raw_os_error(), "making a TPM's memory");
    let state = rustix::fs::memfd_create("hcs-tpm", MemfdFlags::CLOEXEC).map_err(failed)?;
    rustix::fs::fchown(&state, Some(rustix::fs::Uid::from_raw(host.user)), None).map_err(failed)?;
    let arguments = [
        "swtpm".to_owned(),
        "socket".to_owned(),
        "--tpm2".to_owned(),
        "--ctrl".to_owned(),
        format!("type=unixio,clientfd={}", theirs.as_raw_fd()),
        "--tpmstate".to_owned(),
        format!("backend-uri=file:///proc/self/fd/{}", state.as_raw_fd()),
        "--terminate".to_owned(),
    ];
    let program = Helper::start(&path, &arguments, &[theirs.as_fd(), state.as_fd()], host, cgroup)?;
    Ok((ours, Tpm { _program: program, _state: state }))
}

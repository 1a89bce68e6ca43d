//! The trusted platform module of a machine: a program of its own, whose memory is a file without a name.

use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use hcs_container::{cgroup::Cgroup, host_view::View};
use hcs_core::Error;
use rustix::fs::MemfdFlags;

use crate::{
    helper::{self, Helper},
    plan::Host,
    prefix,
};

/// It, running.
pub struct Tpm {
    _program: Helper,
}

/// What it remembers, before it remembers anything.
pub fn memory(host: &Host) -> Result<File, Error> {
    let failed = |errno: rustix::io::Errno| Error::from_errno(errno.raw_os_error(), "making a TPM's memory");
    let memory = rustix::fs::memfd_create("hcs-tpm", MemfdFlags::CLOEXEC).map_err(failed)?;
    rustix::fs::fchown(&memory, Some(rustix::fs::Uid::from_raw(host.user)), None).map_err(failed)?;
    Ok(memory.into())
}

/// Starts it, to remember there; what QEMU speaks to it by.
pub fn start(host: &Host, cgroup: &Cgroup, memory: &File) -> Result<(OwnedFd, Tpm), Error> {
    let path = helper::find(host, "swtpm", "swtpm", "$.VirtualMachine.SecuritySettings.EnableTpm")?;
    let (ours, theirs) = helper::conversation(&path)?;
    let arguments = [
        "swtpm".to_owned(),
        "socket".to_owned(),
        "--tpm2".to_owned(),
        "--ctrl".to_owned(),
        format!("type=unixio,clientfd={}", theirs.as_raw_fd()),
        "--tpmstate".to_owned(),
        format!("backend-uri=file:///proc/self/fd/{}", memory.as_raw_fd()),
        "--terminate".to_owned(),
    ];
    // It reads what a guest says, and needs nothing but its memory.
    let view = View::open(&[prefix(&path).to_owned()])?;
    let keep = [theirs.as_fd(), memory.as_fd()];
    let program = Helper::start(&path, &arguments, &keep, (host, Some(&view)), cgroup)?;
    Ok((ours, Tpm { _program: program }))
}

//! The engine for virtual machines: a VirtualMachine document becomes a plan, a plan becomes a QEMU that is driven over
//! QMP.
//!
//! ```text
//!   document ── [`policy`] ── [`plan`] ──(hcsd | worker)── [`files`] ── [`command`] ── [`machine`] ── [`qmp`]
//!               refused?      plain data                   opened as     arguments      the process
//!                                                          the VM's user
//! ```
//!
//! hcsd plans, which touches nothing. The worker acts: it opens every file of the plan with the rights of the machine's
//! own user, so that QEMU, which runs as that user, gets nothing that it has no right to; QEMU finds them as descriptors
//! and opens none by path.
//!
//! Beside QEMU there are programs that do something for it ([`helper`]): [`shares`] and [`folder_port`] for folders of the host,
//! [`sockets`] for sockets, [`tpm`], and applications that are devices ([`device_hosts`]). [`memory`] is the guest's, made by the
//! worker; [`remembered`] is what firmware and TPM keep; [`change`] is what a running machine is asked to become.

#![deny(clippy::print_stderr, reason = "it panics where nothing takes the words; see hcs_core::complain")]

pub mod change;
pub mod command;
mod device_hosts;
mod devices;
mod files;
mod firmware;
pub mod folder_port;
mod helper;
mod host_socket;
pub mod kvm;
mod links;
pub mod machine;
mod memory;
mod persistent;
pub mod plan;
pub mod policy;
pub mod port;
pub mod qmp;
mod remembered;
pub mod rights;
pub mod shares;
pub mod sockets;
mod tail;
mod tpm;

pub use change::Change;
pub use device_hosts::{DeviceHosts, NotStarted};
pub use hcs_state::{replace::partial, runtime::Saved};
pub use host_socket::remove as remove_sockets;
pub use machine::Machine;
pub use plan::Plan;

use std::path::Path;

/// Above the folder of programs that a QEMU is in.
fn prefix(qemu: &Path) -> &Path {
    qemu.parent().and_then(Path::parent).unwrap_or(Path::new("/"))
}

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

#![deny(clippy::print_stderr, reason = "it panics where nothing takes the words; see hcs_core::complain")]

pub mod change;
pub mod command;
mod device_hosts;
mod devices;
mod files;
mod firmware;
pub mod folder_port;
mod helper;
pub mod kvm;
mod links;
pub mod machine;
mod memory;
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
pub use files::remove_sockets;
pub use hcs_state::{replace::partial, runtime::Saved};
pub use machine::Machine;
pub use plan::Plan;

use std::path::Path;

/// Above the folder of programs that a QEMU is in.
fn prefix(qemu: &Path) -> &Path {
    qemu.parent().and_then(Path::parent).unwrap_or(Path::new("/"))
}

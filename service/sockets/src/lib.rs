//! What carries the sockets of a machine: a vsock in the guest is a Unix socket on the host. A process of its own (`hcs-worker` in
//! another role, started by `hcs_machine`), to which QEMU speaks by vhost-user.
//!
//! It reads what a guest says, so it has nothing that it does not need: it sees the folder of the machine's sockets and the memory
//! of the guest, and a filter leaves it the system calls of this crate.
//!
//! What must hold: what a guest has said arrives where somebody reads it, also when it has closed the connection, and for a moment
//! after its machine has ended; a machine that stands still finds everything as it was when it goes on; a driver begins without any
//! connection, and those of the one before end; and one connection holds up no other, whether it is read too little or says too much.
//!
//! - [`server`]: the loop. [`talk`]: what QEMU says. [`device`]: the rings, and [`memory`], where they are.
//! - [`table`]: the connections by their ports. [`connection`]: the bytes of one. [`caller`]: who wants one and has not said to where.
//! - [`filter`]: the system calls.
//!
//! There is `vhost-device-vsock` of the rust-vmm project. It loses the thread of its rings where something happens while a machine is
//! stopped, paused or restarted, has no half of a connection, and drops what a guest has said and closed too soon.
#![forbid(unsafe_code)]
#![deny(clippy::print_stderr, reason = "it panics where nothing takes the words; see hcs_core::complain")]

mod caller;
mod connection;
mod device;
#[cfg(test)]
mod driver_for_tests;
mod filter;
mod memory;
mod server;
mod table;
mod talk;

use std::{os::fd::OwnedFd, path::Path};

use hcs_core::Error;
use hcs_machine::sockets::FOLDER;
use rustix::{
    io::Errno,
    process::{Resource, Rlimit},
};

use crate::{server::Server, table::Table};

/// Carries the sockets in [`FOLDER`], those of the machine whose QEMU is at the other end of this one, until that is gone. The
/// process must be one that was started for it.
pub fn carry(qemu: OwnedFd) -> Result<(), Error> {
    let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), "preparing to carry sockets");
    let _ = rustix::thread::set_name(c"hcs-sockets");
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).map_err(failed)?;
    let table = Table::at(Path::new(FOLDER)).map_err(failed)?;
    filter::enter()?;
    Server::new(qemu, table).run().map_err(failed)
}

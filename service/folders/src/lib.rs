//! Folders of the host for guests whose agent knows 9P: the server at one port of a machine, a process of its own (`hcs-worker`
//! in another role, started by `hcs_machine`).
//!
//! It reads what a guest says, so it has nothing that it does not need. It sees the shared folders and nothing else of the
//! host, as mounts that its worker makes and takes away; what is read only, or a few files, is so by its mount. It is root with
//! the rights that files need, because it acts for every user of the guest, and a filter leaves it the system calls of this
//! crate. A path is never followed: every file is a descriptor, and the next one is opened by one name below it.
//!
//! - [`server`]: the loop. [`connection`]: bytes of a guest. [`session`]: what they ask, and its files by their numbers.
//! - [`place`]: where the shares are. [`object`]: a file of one, and what can be done with it. [`listing`]: names in a folder.
//! - [`filter`]: the system calls.
#![forbid(unsafe_code)]
#![deny(clippy::print_stderr, reason = "it panics where nothing takes the words; see hcs_core::complain")]

mod connection;
mod filter;
#[cfg(test)]
mod guest_for_tests;
mod listing;
mod object;
mod place;
mod server;
mod session;

use std::{os::fd::OwnedFd, path::Path};

use hcs_container::shares::FOLDER;
use hcs_core::Error;
use rustix::{
    io::Errno,
    process::{Resource, Rlimit},
};

use crate::{place::Place, server::Server};

/// Serves what is shared at [`FOLDER`] to whoever connects to this socket, until somebody kills it. The process must be one that
/// was started for it.
pub fn serve(listener: OwnedFd) -> Result<(), Error> {
    let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), "preparing to serve folders");
    let _ = rustix::thread::set_name(c"hcs-folders");
    // A guest holds a file for each that it has open, or only knows. Nobody else is hurt when there are no more.
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).map_err(failed)?;
    let place = Place::of_shares(Path::new(FOLDER)).map_err(failed)?;
    let server = Server::new(listener, place).map_err(failed)?;
    filter::enter()?;
    server.run().map_err(failed)
}

//! The network of a container, and what a virtual machine has in common with it: [`tap`] devices.
//!
//! [`plan`] decides from the document, [`connection`] carries it out: the worker opens what is there before the
//! container, and connects the container's namespace when its first process is ready and before any other runs.
//! [`bridge`] is one way to do that, [`user_mode`] another; [`resolver`] is what is written to /etc/resolv.conf,
//! [`namespace`] are those that have names, [`netlink`] the few words that are needed with the kernel, also by the agent in a virtual machine.

pub mod bridge;
pub(crate) mod connection;
pub mod namespace;
mod nat;
pub mod netlink;
pub mod plan;
pub(crate) mod resolver;
pub mod tap;
pub(crate) mod user_mode;

use hcs_core::Error;

pub use plan::{Network, interface_name, namespace_path};

/// Sets up the loopback interface of the namespace that this process is in.
pub fn loopback_up() -> Result<(), Error> {
    crate::sys::loopback_up()
        .map_err(|errno| Error::from_errno(errno.raw_os_error(), "setting up the loopback interface"))
}

//! The network of a container.
//!
//! [`plan`] decides from the document, [`connection`] carries it out: the worker opens what is there before the
//! container, and connects the container's namespace when its first process is ready and before any other runs.
//! [`bridge`] is one way to do that, [`user_mode`] another; [`resolver`] is what is written to /etc/resolv.conf.

pub mod bridge;
pub(crate) mod connection;
mod host_program;
mod nat;
mod netlink;
pub mod plan;
pub(crate) mod resolver;
pub(crate) mod user_mode;

pub use plan::Network;

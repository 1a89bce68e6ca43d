//! The worker of one compute system, as a library: the program `hcs-worker` is that, unless it is told another role, and the agent
//! in a virtual machine makes workers of itself.
//!
//! - [`worker`]: the loop. [`system`]: what it owns. [`requests`]: what hcsd asks.
//! - [`connection`]: messages to and from hcsd, or whoever is in its place.
//! - [`kept`]: what processes and consoles have said, for whoever asks.
//! - [`device_hosts`]: applications that are devices of a machine.
//! - [`guest`]: the agent in a machine, as its worker speaks with it. [`hosted_system`]: a container in there.
//! - [`carrier`]: streams between host and guest, by the port of a machine or by its sockets, joined with pipes; the agent uses it
//!   on its side.
#![forbid(unsafe_code)]
#![deny(clippy::print_stderr, reason = "it panics where nothing takes the words; see hcs_core::complain")]

pub mod carrier;
pub mod connection;
mod device_hosts;
mod engine;
mod guest;
mod hosted_system;
mod kept;
mod name;
mod output;
mod properties;
mod relay;
mod requests;
mod system;
mod tracked;
mod worker;

pub use worker::Worker;

//! hcs-guest: the agent in a virtual machine.
//!
//! It finds the port that its host has given the machine, or calls its host by vsock, and does there what a host asks of the
//! GCS bridge: processes, changes, containers. As the first process of a machine it is its init too: it mounts what every program needs, loads
//! modules, reaps, and keeps one agent running. In a distribution it is an ordinary service.
//!
//! ```text
//!   init ── makes the machine ready, keeps the agent running
//!   agent ── the loop: the port or sockets, the bridge, the workers
//!     place ── a worker, which is a copy of the agent: one for the machine itself, one for each container
//!     answers ── what is asked, and how it is answered
//!     resources ── what the host changes in the machine: disks, folders, layers, adapters
//! ```
#![deny(clippy::print_stderr, reason = "it panics where nothing takes the words; see hcs_core::complain")]

mod agent;
mod answers;
mod containers;
mod failure;
mod identity;
mod init;
mod log;
mod place;
mod port;
mod power;
mod processes;
mod resources;
mod vsock;

use std::process::ExitCode;

/// What init calls the agent, so that it does not take itself for init.
const AGENT: &str = "agent";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let called = arguments.next();
    if called.as_deref() == Some(resources::share::CALLED) {
        return resources::share::answer(arguments);
    }
    let is_init = std::process::id() == 1 && called.as_deref() != Some(AGENT);
    let ended = if is_init { init::run() } else { agent::run() };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            hcs_core::complain!("hcs-guest: {error}");
            ExitCode::FAILURE
        }
    }
}

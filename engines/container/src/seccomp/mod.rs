//! System call filters: which calls the processes of a container may make, and what becomes of the others.
//!
//! A [`Profile`] says it by name: [`default_profile`] holds what every container gets, `oci` reads one from an
//! OCI runtime specification. [`compile`] turns a profile into a [`Program`] of classic BPF when a container is
//! planned, so the worker has no tables, and its children load the finished program with one system call.
//!
//! The program is a binary search over the numbers of system calls. That matters because the kernel runs a new
//! filter once for every number (it remembers which calls are allowed whatever their arguments): a chain of
//! comparisons makes loading eight times as slow.

mod architecture;
mod assembler;
mod calls;
mod compile;
mod conditions;
mod default_profile;
#[cfg(test)]
mod interpreter;
#[cfg(test)]
mod measured;
mod oci;
mod only;
mod profile;
mod program;

use std::sync::OnceLock;

use hcs_core::Error;

pub use architecture::Architecture;
pub use compile::compile;
pub use default_profile::default_profile;
pub use oci::compile_oci;
pub use only::leave_only;
pub use profile::{Action, Comparison, Condition, Profile, Rule};
pub use program::Program;

use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use crate::confinement::CAPABILITIES;

/// The filter of a container, as plans carry it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// That of most. Every worker has it, so it need not be sent to each.
    Usual,
    /// Its own.
    Own(Program),
}

impl Filter {
    /// The default filter of a container whose processes can have these capabilities.
    pub fn for_capabilities(capabilities: CapabilitySet) -> Result<Filter, Error> {
        if capabilities == CAPABILITIES {
            return Ok(Filter::Usual);
        }
        compile(&default_profile(capabilities)).map(Filter::Own)
    }

    /// What is loaded.
    pub fn program(&self) -> Result<&Program, Error> {
        match self {
            Filter::Usual => usual(),
            Filter::Own(program) => Ok(program),
        }
    }
}

/// The filter of most containers, compiled once.
pub fn usual() -> Result<&'static Program, Error> {
    static USUAL: OnceLock<Program> = OnceLock::new();
    if let Some(program) = USUAL.get() {
        return Ok(program);
    }
    let program = compile(&default_profile(CAPABILITIES))?;
    Ok(USUAL.get_or_init(|| program))
}

//! What a worker owns: a container or a virtual machine, in the words that both have in common.

use std::os::fd::BorrowedFd;

use hcs_container::{Container, cgroup::Counters};
use hcs_core::{Cause, Error};
use hcs_machine::Machine;

/// One of both.
pub enum Engine {
    /// A container.
    Container(Container),
    /// A virtual machine.
    Machine(Machine),
}

impl Engine {
    /// Starts it.
    pub fn start(&mut self) -> Result<(), Error> {
        match self {
            Engine::Container(container) => container.start(),
            Engine::Machine(machine) => machine.start(),
        }
    }

    /// Suspends or continues it.
    pub fn freeze(&mut self, frozen: bool) -> Result<(), Error> {
        match self {
            Engine::Container(container) => container.freeze(frozen),
            Engine::Machine(machine) => machine.freeze(frozen),
        }
    }

    /// Asks it to end.
    pub fn ask_to_end(&mut self) -> Result<(), Error> {
        match self {
            Engine::Container(container) => container.ask_to_end(),
            Engine::Machine(machine) => machine.ask_to_end(),
        }
    }

    /// Kills it.
    pub fn kill(&self) -> Result<(), Error> {
        match self {
            Engine::Container(container) => container.kill(),
            Engine::Machine(machine) => machine.kill(),
        }
    }

    /// Removes what is left of it when its process is dead.
    pub fn remove(&mut self) -> Result<(), Error> {
        match self {
            Engine::Container(container) => container.remove(),
            Engine::Machine(machine) => machine.remove(),
        }
    }

    /// Stands for the process whose death is its end.
    pub fn process(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Engine::Container(container) => container.init(),
            Engine::Machine(machine) => machine.process(),
        }
    }

    /// Reads the counters.
    pub fn counters(&self) -> Result<Counters, Error> {
        match self {
            Engine::Container(container) => container.counters(),
            Engine::Machine(machine) => machine.counters(),
        }
    }

    /// The container that it is.
    pub fn container(&self) -> Result<&Container, Error> {
        match self {
            Engine::Container(container) => Ok(container),
            Engine::Machine(_) => Err(no_guest()),
        }
    }

    /// As [`Engine::container`].
    pub fn container_mut(&mut self) -> Result<&mut Container, Error> {
        match self {
            Engine::Container(container) => Ok(container),
            Engine::Machine(_) => Err(no_guest()),
        }
    }

    /// The machine that it is.
    pub fn machine(&mut self) -> Option<&mut Machine> {
        match self {
            Engine::Container(_) => None,
            Engine::Machine(machine) => Some(machine),
        }
    }
}

/// What is in a virtual machine is reached through its guest only.
fn no_guest() -> Error {
    Error::new(Cause::NotConfigured, "the virtual machine has no connection to its guest")
}

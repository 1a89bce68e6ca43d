//! What a worker owns: a container or a virtual machine, in the words that both have in common. Within a virtual machine it
//! may be that machine, as a place for processes.

use std::os::fd::BorrowedFd;

use hcs_container::{Bare, Container, Process, ProcessPlan, cgroup::Counters};
use hcs_core::{Cause, Error};
use hcs_machine::Machine;
use hcs_schema::ProcessDetails;

/// One of them.
pub enum Engine {
    /// A container.
    Container(Container),
    /// A virtual machine.
    Machine(Machine),
    /// The machine that the worker runs on.
    Bare(Bare),
}

impl Engine {
    /// Starts it.
    pub fn start(&mut self) -> Result<(), Error> {
        match self {
            Engine::Container(container) => container.start(),
            Engine::Machine(machine) => machine.start(),
            Engine::Bare(_) => Ok(()),
        }
    }

    /// Suspends or continues it.
    pub fn freeze(&mut self, frozen: bool) -> Result<(), Error> {
        match self {
            Engine::Container(container) => container.freeze(frozen),
            Engine::Machine(machine) => machine.freeze(frozen),
            Engine::Bare(_) => Err(not_of_a_machine()),
        }
    }

    /// Asks it to end.
    pub fn ask_to_end(&mut self) -> Result<(), Error> {
        match self {
            Engine::Container(container) => container.ask_to_end(),
            Engine::Machine(machine) => machine.ask_to_end(),
            Engine::Bare(_) => Err(not_of_a_machine()),
        }
    }

    /// Kills it.
    pub fn kill(&self) -> Result<(), Error> {
        match self {
            Engine::Container(container) => container.kill(),
            Engine::Machine(machine) => machine.kill(),
            Engine::Bare(bare) => bare.kill(),
        }
    }

    /// Removes what is left of it when its process is dead.
    pub fn remove(&mut self) -> Result<(), Error> {
        match self {
            Engine::Container(container) => container.remove(),
            Engine::Machine(machine) => machine.remove(),
            Engine::Bare(bare) => bare.remove(),
        }
    }

    /// Stands for the process whose death is its end.
    pub fn process(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Engine::Container(container) => container.init(),
            Engine::Machine(machine) => machine.process(),
            Engine::Bare(_) => None,
        }
    }

    /// Reads the counters.
    pub fn counters(&self) -> Result<Counters, Error> {
        match self {
            Engine::Container(container) => container.counters(),
            Engine::Machine(machine) => machine.counters(),
            Engine::Bare(bare) => bare.counters(),
        }
    }

    /// The container that it is.
    pub fn container(&self) -> Result<&Container, Error> {
        match self {
            Engine::Container(container) => Ok(container),
            Engine::Machine(_) => Err(no_guest()),
            Engine::Bare(_) => Err(not_of_a_machine()),
        }
    }

    /// Starts a process.
    pub fn start_process(&self, plan: &ProcessPlan) -> Result<Process, Error> {
        match self {
            Engine::Container(container) => container.start_process(plan),
            Engine::Machine(_) => Err(no_guest()),
            Engine::Bare(bare) => bare.start_process(plan),
        }
    }

    /// Lists the processes.
    pub fn processes(&self) -> Result<Vec<ProcessDetails>, Error> {
        match self {
            Engine::Container(container) => container.processes(),
            Engine::Machine(_) => Err(no_guest()),
            Engine::Bare(bare) => bare.processes(),
        }
    }

    /// As [`Engine::container`].
    pub fn container_mut(&mut self) -> Result<&mut Container, Error> {
        match self {
            Engine::Container(container) => Ok(container),
            Engine::Machine(_) => Err(no_guest()),
            Engine::Bare(_) => Err(not_of_a_machine()),
        }
    }

    /// The machine that it is.
    pub fn machine(&mut self) -> Option<&mut Machine> {
        match self {
            Engine::Container(_) | Engine::Bare(_) => None,
            Engine::Machine(machine) => Some(machine),
        }
    }
}

/// What is in a virtual machine is reached through its guest only.
fn no_guest() -> Error {
    Error::new(Cause::NotConfigured, "the virtual machine has no connection to its guest")
}

fn not_of_a_machine() -> Error {
    Error::new(Cause::NotSupported, "that is done to a container, and this is the machine itself")
}

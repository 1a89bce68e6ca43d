//! Applications that are devices of the machine: the channels to them, what they are asked there, and what has become of the
//! devices. The engine asks by way of [`hcs_machine::DeviceHosts`], and waits for the answer, as the worker does nothing else
//! meanwhile; so every wait has a limit, and who once did not keep to it is not waited for until it has caught up.
//!
//! - [`host`]: one application. [`hosts`]: all of them. [`failures`]: what has become of their devices.
//! - [`devices`]: what the engine asks of them.

mod devices;
mod failures;
mod host;
mod hosts;

use std::{
    cell::{Ref, RefCell},
    os::fd::OwnedFd,
    rc::Rc,
    time::Instant,
};

use hcs_core::{DeviceFailure, Error};
use hcs_schema::Guid;

use self::hosts::Hosts;

/// The hosts of a machine. Clones are the same; one is the engine's.
#[derive(Clone, Default)]
pub struct Shared(Rc<RefCell<Hosts>>);

impl Shared {
    /// A channel for one more host: the application's end.
    pub fn open(&self, is_restricted: bool) -> Result<OwnedFd, Error> {
        self.0.borrow_mut().open(is_restricted)
    }

    /// The hosts, to be polled.
    pub fn look(&self) -> Ref<'_, Hosts> {
        self.0.borrow()
    }

    /// A host has said something or has hung up; `ends` if the machine is about to end: who hangs up then has not failed.
    pub fn hear(&self, host: u64, ends: bool) {
        let mut hosts = self.0.borrow_mut();
        hosts.failures.machine_ends = ends;
        hosts.hear(host);
    }

    /// The devices that have failed since the last time this was asked.
    pub fn take_failed(&self) -> Vec<Guid> {
        self.0.borrow_mut().failures.take_due()
    }

    /// The machine cannot let this device go now: it is told once more.
    pub fn tell_again(&self, instance: Guid) {
        self.0.borrow_mut().failures.tell_again(instance);
    }

    /// When [`Shared::take_failed`] has something to tell.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.borrow().failures.due_at()
    }

    /// The machine has ended: hangs up on everybody. What had failed before.
    pub fn end(&self) -> Vec<DeviceFailure> {
        std::mem::take(&mut *self.0.borrow_mut()).failures.into_all()
    }
}

#[cfg(test)]
mod tests;

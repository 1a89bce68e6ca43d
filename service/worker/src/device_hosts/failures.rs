//! What has failed of the devices that a machine has or had: the machine is told soon, and who asks for its end is told then.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hcs_core::DeviceFailure;
use hcs_schema::{Guid, VirtualDeviceFailureDetail};

/// When it is tried again to take a device away that has failed.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// How many failures are remembered.
const MOST: usize = 64;

/// The failures of one machine.
#[derive(Default)]
pub struct Failures {
    all: Vec<Failed>,
    /// The devices that the machine is to be told of, and when.
    untold: BTreeMap<Guid, Instant>,
    /// The machine is about to end: what fails now is no failure.
    pub machine_ends: bool,
}

/// A device that has failed.
struct Failed {
    failure: DeviceFailure,
    /// The device has come anew since.
    is_past: bool,
}

impl Failures {
    /// A device works no more.
    pub fn add(&mut self, instance: Guid, class: Guid) {
        self.forget(instance);
        if !self.machine_ends && self.all.len() < MOST {
            let failure = DeviceFailure { phase: VirtualDeviceFailureDetail::None, class, instance };
            self.all.push(Failed { failure, is_past: false });
        }
        self.untold.insert(instance, Instant::now());
    }

    /// What has failed of this device counts no more, but for what was before it came anew.
    pub fn forget(&mut self, instance: Guid) {
        self.all.retain(|failed| failed.is_past || failed.failure.instance != instance);
        self.untold.remove(&instance);
    }

    /// The device comes anew. What has failed of it before remains what has failed in this machine.
    pub fn comes_anew(&mut self, instance: Guid) {
        self.untold.remove(&instance);
        let before = self.all.iter_mut().filter(|failed| failed.failure.instance == instance);
        before.for_each(|failed| failed.is_past = true);
    }

    /// Those that the machine is to be told of by now, once.
    pub fn take_due(&mut self) -> Vec<Guid> {
        let now = Instant::now();
        let due: Vec<Guid> =
            self.untold.iter().filter(|(_, at)| **at <= now).map(|(instance, _)| *instance).collect();
        due.iter().for_each(|instance| _ = self.untold.remove(instance));
        due
    }

    /// The machine cannot let this device go now: it is told once more.
    pub fn tell_again(&mut self, instance: Guid) {
        self.untold.insert(instance, Instant::now() + AGAIN);
    }

    /// When [`Failures::take_due`] has something to tell.
    pub fn due_at(&self) -> Option<Instant> {
        self.untold.values().min().copied()
    }

    /// All of them, each once.
    pub fn into_all(self) -> Vec<DeviceFailure> {
        let mut failures = Vec::new();
        for Failed { failure, .. } in self.all {
            if !failures.contains(&failure) {
                failures.push(failure);
            }
        }
        failures
    }
}

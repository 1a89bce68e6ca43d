//! The applications that are devices of a machine, as the engine sees them: somebody who has a device served at a socket, and
//! tells it what becomes of the machine. How they are spoken to is the worker's business.

use std::os::fd::OwnedFd;

use hcs_core::Error;
use hcs_schema::Guid;

use crate::plan::HostedDevice;

/// Why a device is not started.
#[derive(Debug)]
pub struct NotStarted {
    /// What is told of it.
    pub error: Error,
    /// The application is gone, has not answered, or is the device no more; otherwise it has refused.
    pub is_silent: bool,
}

/// Who hosts devices for a machine. Nothing here waits without a limit.
pub trait DeviceHosts {
    /// Has an application be this device, at this listening socket, to which QEMU connects once. Fails if none has it.
    fn serve(&mut self, device: &HostedDevice, listener: OwnedFd) -> Result<(), Error>;

    /// Whether an application still is this device.
    fn has(&mut self, instance: Guid) -> bool;

    /// The processors of the machine are about to run: what came of it for each of these devices.
    fn start(&mut self, instances: &[Guid]) -> Vec<Result<(), NotStarted>>;

    /// They have stopped.
    fn stop(&mut self, instances: &[Guid]);

    /// A device of the machine has failed, as if its application had said so.
    fn fail(&mut self, instance: Guid, why: &str);

    /// The machine has the device no more, or never got it. One that nobody serves is none's.
    fn remove(&mut self, instance: Guid);
}

//! Devices that a program supplies to a virtual machine: the program implements [`PciDevice`], and the guest's ordinary drivers
//! find a PCI device.
//!
//! ```text
//!   the machine's worker ──(channel)── [`host`] ── [`instance`] ── PciDevice, yours
//!   its QEMU ──(vfio-user)── [`link`] ── [`server`] ──┘   │
//!                                                     [`Device`]: memory of the guest, interrupts, doorbells, sections
//! ```
//!
//! A [`DeviceHost`] belongs to one machine. The worker of that asks it for devices, tells it when the processors run, and when
//! a device has gone. What the guest does comes over another connection, one for each device, straight from QEMU.
//!
//! No lock is held while a function of yours runs: it may use its [`Device`] as it likes.

mod config;
mod device;
mod doorbells;
mod guest;
mod handle;
mod host;
mod instance;
mod link;
mod sections;
mod server;
mod shape;

pub use device::{Bar, Details, PciDevice, PnpId};
pub use doorbells::{Doorbell, Signal, Size};
pub use handle::Device;
pub use hcs_core::{Cause, Error};
pub use hcs_schema::Guid;
pub use host::DeviceHost;
pub use instance::is_within_a_call;
pub use sections::Section;

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What is behind a lock is whole at any time, also when somebody has panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same, to read what others read too.
pub(crate) fn reading<T>(shared: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    shared.read().unwrap_or_else(PoisonError::into_inner)
}

/// The same, to change it.
pub(crate) fn writing<T>(shared: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    shared.write().unwrap_or_else(PoisonError::into_inner)
}

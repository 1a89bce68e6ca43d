//! What the worker of a machine may do. It reads what a guest and its QEMU say, so it has no more than machines need: it
//! cannot load modules, reach ports and memory of the host, set its clock or restart it, whatever it is made to do.

use hcs_container::privileges;
use hcs_core::Error;
use rustix::thread::CapabilitySet;

use crate::shares;

/// What the worker needs, and what it hands on.
const CAPABILITIES: CapabilitySet = shares::CAPABILITIES
    // Signals to QEMU, which is another user, and where its threads run.
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SYS_NICE)
    // Namespaces, mounts, cgroups.
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::SYS_CHROOT)
    // What QEMU sees, where a device of an application is put.
    .union(CapabilitySet::SYS_PTRACE)
    // Ports at bridges.
    .union(CapabilitySet::NET_ADMIN)
    // Pipes that hold the last words of a console.
    .union(CapabilitySet::SYS_RESOURCE);

/// Gives up what no machine needs, for the worker and all that it starts. There is no way back.
pub fn keep_own() -> Result<(), Error> {
    privileges::give_up_all_but(CAPABILITIES)
}

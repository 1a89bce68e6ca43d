//! What hcsd itself may do. Workers are root with all rights again, because a container may be given any by its document;
//! so this is no wall around hcsd, but what it does by mistake it does without them.

use hcs_container::privileges;
use hcs_core::Error;
use rustix::thread::CapabilitySet;

const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    // Folders, records and cgroups, whoever owns them.
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    // What workers have left running, as whatever user.
    .union(CapabilitySet::KILL)
    // What they have left of networks.
    .union(CapabilitySet::NET_ADMIN)
    // The worker's program is run from a mount of its own.
    .union(CapabilitySet::SYS_ADMIN)
    // Limits of open files, and to be killed last.
    .union(CapabilitySet::SYS_RESOURCE);

/// Gives up the others. To be called before there is a second thread, because each has its own.
pub fn use_own() -> Result<(), Error> {
    privileges::use_only(CAPABILITIES)
}

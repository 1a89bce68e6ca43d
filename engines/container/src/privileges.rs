//! What a process may do beside its user's rights: capabilities, and whether a program that it runs may have more.
//!
//! The service and the workers of machines give up here what they never use. A worker of containers gives up nothing: an
//! OCI specification may give a process any capability, and it can only hand on what it has.

use hcs_core::Error;
use rustix::{
    io::Errno,
    thread::{CapabilitySet, CapabilitySets},
};

use crate::confinement::LAST_CAPABILITY;

/// Makes these the only ones that count. Programs that root runs have all again.
pub fn use_only(wanted: CapabilitySet) -> Result<(), Error> {
    hold_at_most(wanted).map_err(failed)
}

/// Gives up all others, for this process and everything that it ever runs; no program gains any privilege from now on.
pub fn give_up_all_but(kept: CapabilitySet) -> Result<(), Error> {
    let give_up = || {
        rustix::thread::set_no_new_privs(true)?;
        limit(kept)?;
        hold_at_most(kept)
    };
    give_up().map_err(failed)
}

fn failed(errno: Errno) -> Error {
    Error::from_errno(errno.raw_os_error(), "giving up privileges")
}

/// A service that was not given all of them has the rest.
fn hold_at_most(wanted: CapabilitySet) -> Result<(), Errno> {
    hold(wanted & rustix::thread::capabilities(None)?.permitted)
}

/// Makes these the permitted and effective ones.
pub(crate) fn hold(kept: CapabilitySet) -> Result<(), Errno> {
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::clear_ambient_capability_set()?;
    rustix::thread::set_capabilities(None, sets)
}

/// Takes all others out of the bounding set.
pub(crate) fn limit(kept: CapabilitySet) -> Result<(), Errno> {
    for number in 0..=LAST_CAPABILITY {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if !kept.contains(capability) {
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                // Older kernels know fewer.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(())
}

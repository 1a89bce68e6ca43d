//! What a host may change in the machine itself: disks, folders, layers and adapters that come and go.
//!
//! The agent calls it for every ModifySettings that is addressed to the machine and not to a container. A request is done
//! when it is answered, and one that fails leaves nothing behind. The agent has one thread, so nobody else is answered
//! meanwhile; that is accepted as long as the only waits are those for a device (see [`device`]), for a disk that is formatted
//! and for the server of shared folders, and all have an end.
//!
//! - [`disk`], [`persistent`], [`share`], [`layers`], [`network`], [`policy`]: one kind of resource each.
//! - [`scsi`], [`adapter`]: where a device is in the kernel's view of the machine.
//! - [`addressing`], [`resolver`]: what an adapter is given.
//! - [`device`], [`filesystem`], [`folder`], [`mount_point`], [`mount_table`]: what several of them need.

mod adapter;
mod addressing;
mod device;
mod disk;
mod filesystem;
mod folder;
mod layers;
mod mount_point;
mod mount_table;
mod network;
mod persistent;
mod policy;
mod resolver;
mod scsi;
pub mod share;

use hcs_core::{Cause, Error};
use hcs_gcs::{code, guest::Failure, records::Modification};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::failure::failure;

/// What is remembered of the resources between requests.
#[derive(Default)]
pub struct Resources {
    /// The adapters, and who uses the network namespaces that they are in.
    pub network: network::Adapters,
}

impl Resources {
    /// Does what the host asks for. A request that does not say what it is adds.
    pub fn modify(&mut self, request: Modification) -> Result<(), Failure> {
        let Modification { resource_type, request_type, settings } = request;
        let how = if request_type.is_empty() { "Add" } else { &request_type };
        let done = match (resource_type.as_str(), how) {
            ("MappedVirtualDisk", "Add") => disk::add(&read(settings)?),
            ("MappedVirtualDisk", "Remove") => disk::remove(&read(settings)?),
            ("SCSIDevice", "Remove") => scsi::drop_device(&read(settings)?),
            ("VPMemDevice", "Add") => persistent::add(&read(settings)?),
            ("VPMemDevice", "Remove") => persistent::remove(&read(settings)?),
            ("MappedDirectory", "Add") => share::add(&read(settings)?),
            ("MappedDirectory", "Remove") => share::remove(&read(settings)?),
            ("CombinedLayers", "Add") => layers::add(&read(settings)?),
            ("CombinedLayers", "Remove") => layers::remove(&read(settings)?),
            ("Network", "Add") => self.network.add(&read(settings)?),
            ("Network", "Remove") => self.network.remove(&read(settings)?),
            ("SecurityPolicy", "Add") => policy::check(&read(settings)?),
            // There is no group that all containers are in, so there is no limit to be computed anew.
            ("PodCgroupMemoryLimit", "Update") => Ok(()),
            ("SecurityPolicyFragment", "Add") => Err(refused("SecurityPolicyFragment")
                .hint("No policy is enforced in this machine, so there is none to add to.")),
            ("VPCIDevice", "Add") => {
                Err(refused("VPCIDevice").hint("Devices of the host cannot be given to this machine."))
            }
            _ => {
                return Err(Failure::new(
                    code::FAILED,
                    format!("the request {how:?} for the resource {resource_type:?} is not known here"),
                ));
            }
        };
        done.map_err(failure)
    }
}

/// The settings of a resource. What is zero is left out, and so is what has nothing else. Of what nobody here knows the log
/// tells.
fn read<T: DeserializeOwned>(settings: Value) -> Result<T, Failure> {
    let unreadable = |why: String| {
        Failure::new(code::INVALID_JSON, format!("the settings of the resource cannot be read: {why}"))
    };
    // A list would be taken for the values of the members.
    let settings = match settings {
        Value::Null => json!({}),
        Value::Object(_) => settings,
        other => return Err(unreadable(format!("found {other}, expected an object"))),
    };
    let unknown = |path: serde_ignored::Path<'_>| {
        hcs_core::complain!("hcs-guest: {}: unknown member, which has no effect", member(&path.to_string()));
    };
    serde_ignored::deserialize(settings, unknown).map_err(|error| unreadable(error.to_string()))
}

/// What is known and cannot be done here.
fn refused(what: &str) -> Error {
    Error::new(Cause::NotSupported, format!("{what} is not supported in this machine"))
}

/// Blames a member of the settings.
fn member(name: &str) -> String {
    format!("$.Request.Settings.{name}")
}

#[cfg(test)]
mod tests;

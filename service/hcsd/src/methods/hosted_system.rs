//! Containers in virtual machines: a HostedSystem, and the machine that is to host it.

use std::sync::Arc;

use hcs_container::policy::Notice;
use hcs_core::{Call, Cause, Error, SystemId};
use hcs_schema::{Any, ComputeSystem, Reading};

use super::Context;
use crate::system::System;

/// The member that names the machine.
const HOST: &str = "$.HostingSystemId";

/// A container in a machine.
pub struct Hosted {
    /// The id of the machine.
    pub host: SystemId,
    /// What its agent is given.
    pub document: Any,
}

/// A container in a machine. It is planned here to see whether it can be, and what has no effect.
pub fn plan(
    reading: &Reading<ComputeSystem>,
    id: &SystemId,
    cgroup_parent: &str,
) -> Result<(Hosted, Vec<Notice>), Error> {
    let document = &reading.value;
    let text = document.hosted_system.clone().unwrap_or_default();
    let host = document.hosting_system_id.as_deref().unwrap_or_default();
    if host.is_empty() {
        return Err(Error::new(Cause::InvalidData, "there is no system that would host it").at(HOST));
    }
    let host = SystemId::new(host).map_err(|error| error.at(HOST))?;
    let planned = hcs_container::hosted_system::plan(text.get(), id.as_str(), id.runtime_id(), cgroup_parent);
    let (_, within) = planned.map_err(inside)?;
    let within = within.into_iter().map(|notice| Notice { path: path_inside(&notice.path), ..notice });
    let notices = reading.unknown.iter().map(Notice::from).chain(within).collect();
    Ok((Hosted { host, document: text }, notices))
}

/// An error of the document within this one.
pub fn inside(error: Error) -> Error {
    Error { path: error.path.as_deref().map(path_inside), ..error }
}

fn path_inside(path: &str) -> String {
    match path.strip_prefix('$') {
        Some(rest) if !path.starts_with(HOST) => format!("$.HostedSystem{rest}"),
        _ => path.to_owned(),
    }
}

/// The machine that is to host a container.
pub fn host_of(context: &Context, id: &SystemId) -> Result<Arc<System>, Error> {
    let host = context.service.registry.find(id).filter(|host| host.admits(Call::Open).is_ok());
    let host =
        host.ok_or_else(|| Error::new(Cause::SystemNotFound, format!("there is no system {id}")).at(HOST))?;
    if !host.is_machine {
        let detail = format!("{id} is a container, and only a virtual machine hosts others");
        return Err(Error::new(Cause::NotSupported, detail).at(HOST));
    }
    host.admits(Call::UseProcesses).map_err(|error| error.at(HOST))?;
    Ok(host)
}

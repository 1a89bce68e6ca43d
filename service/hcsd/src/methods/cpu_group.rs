//! Virtual machines in CPU groups: a machine's threads run on the processors of its group and on no others.

use hcs_core::{Call, Cause, Error};
use hcs_ipc::worker::Request;
use hcs_machine::Change;
use hcs_schema::{Any, CpuGroup, Guid, ModifySettingRequest};

use super::host::groups;
use crate::{host::group_cgroups::FULL_CAPACITY, reading::read_at, service::Service, system::System};

/// `ResourcePath` of a machine's group, behind `VirtualMachine/`.
pub const PATH: &str = "ComputeTopology/Processor/CpuGroup";

/// The processors of a group.
pub fn processors(service: &Service, id: Guid) -> Result<Vec<u32>, Error> {
    let list = groups(service).as_ref().map(crate::host::cpu_groups::CpuGroups::list).unwrap_or_default();
    let name = id.to_string();
    let Some(group) = list.into_iter().find(|group| group.id.eq_ignore_ascii_case(&name)) else {
        return Err(Error::new(Cause::NotFound, format!("there is no CPU group {name}")));
    };
    if group.capacity < FULL_CAPACITY {
        let detail =
            format!("the CPU group {name} has a capacity, which a machine keeps only as its own Limit");
        return Err(Error::new(Cause::NotSupported, detail));
    }
    Ok(group.processors)
}

/// Whether a machine is in a group.
pub fn is_used(service: &Service, id: &str) -> bool {
    let in_it = |system: std::sync::Arc<System>| system.recorded().cpu_group;
    service.registry.all().into_iter().filter_map(in_it).any(|group| group.eq_ignore_ascii_case(id))
}

/// Takes a machine into a group, or out of the one that it is in.
pub async fn bind(service: &Service, system: &System, request: &ModifySettingRequest) -> Result<(), Error> {
    const ID: &str = "$.Settings.Id";
    let settings = request.settings.clone().unwrap_or_default();
    let wanted = read_at::<CpuGroup>(&settings, "$.Settings")?.id.filter(|id| *id != Guid::NIL);
    let present = system.recorded().cpu_group;
    let name = wanted.map(|id| id.to_string());
    if present.is_some() && name.is_some() && present != name {
        let detail = format!("the machine is in the CPU group {}", present.unwrap_or_default());
        return Err(Error::new(Cause::InvalidState, detail).at(ID).hint("Have it leave that one first."));
    }
    let list = wanted.map(|id| processors(service, id)).transpose().map_err(|error| error.at(ID))?;
    // Nobody removes the group from under it.
    system.update_record(|record| record.cpu_group = name)?;
    let change = Any::from_value(&Change::Processors { list })
        .map_err(|error| Error::new(Cause::Unexpected, error.to_string()))?;
    let asked = system.ask(Call::Modify, Request::ChangeMachine { change }).await;
    asked.map(|_| ()).inspect_err(|_| {
        if let Err(error) = system.update_record(|record| record.cpu_group = present) {
            tracing::error!(id = %system.id, %error, "a CPU group stays noted");
        }
    })
}

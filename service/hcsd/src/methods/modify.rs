//! `ModifyComputeSystem`: limits of a container, and what of the host appears in it. Every other path is refused by
//! name, and an unknown one is told as such. Of a virtual machine nothing can be changed yet.

use hcs_container::change::Change;
use hcs_core::{Call, Cause, Error};
use hcs_ipc::{
    compute::{Done, ModifyComputeSystem},
    worker::Request,
};
use hcs_schema::{Any, ModifySettingRequest, OperationFailureDetail};

use super::{Context, Outcome, done};

/// The paths of containers that this version cannot change.
const CONTAINER_PATHS: &[&str] = &["Container/Devices/Generic", "Container/RegistryFlushState"];

/// Changes a system.
pub async fn modify(context: Context, call: ModifyComputeSystem) -> Result<Outcome<Done>, Error> {
    let system = context.session.system(call.handle)?;
    let request = hcs_schema::read::<ModifySettingRequest>(call.request.get())?.value;
    system.admits(Call::Modify)?;
    let path = request.resource_path.unwrap_or_default();
    let of_machine = path.starts_with("VirtualMachine/");
    if system.is_machine || of_machine {
        let detail = match (system.is_machine, of_machine) {
            (true, true) => format!("{path} cannot be changed by this version"),
            (true, false) => format!("{path:?} does not belong to a virtual machine"),
            (false, _) => format!("{path} belongs to virtual machines, this is a container"),
        };
        let refused = Error::new(Cause::NotSupported, detail).at("$.ResourcePath");
        return Err(refused.during(OperationFailureDetail::Modify));
    }
    if let Some(change) = Change::new(&path, request.request_type, request.settings.as_ref()) {
        let asked = async {
            let change = Any::from_value(&change?)
                .map_err(|error| Error::new(Cause::Unexpected, error.to_string()))?;
            system.ask(Call::Modify, Request::Change { change }).await
        };
        return asked.await.map(|_| done()).map_err(|error| error.during(OperationFailureDetail::Modify));
    }
    let error = if path.is_empty() {
        Error::new(
            Cause::InvalidState,
            "a request for the guest only needs a virtual machine with a guest service",
        )
        .at("$.GuestRequest")
    } else if CONTAINER_PATHS.contains(&path.as_str()) {
        Error::new(Cause::NotSupported, format!("{path} cannot be changed by this version"))
            .at("$.ResourcePath")
    } else {
        Error::new(Cause::InvalidData, format!("found {path:?}, which is no resource path"))
            .at("$.ResourcePath")
    };
    Err(error.during(OperationFailureDetail::Modify))
}

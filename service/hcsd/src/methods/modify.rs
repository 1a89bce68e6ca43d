//! `ModifyComputeSystem`: limits of a container, and what of the host appears in it. Every other path is refused by
//! name, and an unknown one is told as such. What can be changed of a virtual machine, its engine says.

use hcs_container::change::Change;
use hcs_core::{Call, Cause, Error};
use hcs_ipc::{
    compute::{Done, ModifyComputeSystem},
    worker::Request,
};
use hcs_machine::Change as MachineChange;
use hcs_schema::{Any, ModifyRequestType, ModifySettingRequest, OperationFailureDetail};

use super::{Context, Outcome, cpu_group, done};
use crate::{
    reading::{read, tell},
    system::System,
};

/// The paths of containers that this version cannot change.
const CONTAINER_PATHS: &[&str] = &["Container/Devices/Generic", "Container/RegistryFlushState"];

/// Changes a system.
pub async fn modify(context: Context, call: ModifyComputeSystem) -> Result<Outcome<Done>, Error> {
    let system = context.session.system(call.handle)?;
    let request = read::<ModifySettingRequest>(call.request.get())?;
    system.admits(Call::Modify)?;
    let path = request.resource_path.clone().unwrap_or_default();
    let of_machine = path.strip_prefix("VirtualMachine/");
    let outcome = match (system.is_machine, of_machine) {
        (true, Some(inside)) => Some(machine(&context, &system, inside, &request).await),
        (true, None) if path.is_empty() && request.guest_request.is_some() => {
            let in_guest = request.guest_request.clone().unwrap_or_default();
            Some(guest(&system, &in_guest).await)
        }
        (true, None) if !path.is_empty() => {
            let detail = format!("{path:?} does not belong to a virtual machine");
            Some(Err(Error::new(Cause::NotSupported, detail).at("$.ResourcePath")))
        }
        (false, Some(_)) => {
            let detail = format!("{path} belongs to virtual machines, this is a container");
            Some(Err(Error::new(Cause::NotSupported, detail).at("$.ResourcePath")))
        }
        _ => None,
    };
    if let Some(outcome) = outcome {
        return outcome.map(|()| done()).map_err(|error| error.during(OperationFailureDetail::Modify));
    }
    if let Some(change) = Change::new(&path, request.request_type, request.settings.as_ref()) {
        let asked = async {
            let (change, notices) = change?;
            tell(&notices);
            let change =
                Any::from_value(&change).map_err(|error| Error::new(Cause::Unexpected, error.to_string()))?;
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

/// Changes a virtual machine: what the host gives comes before what the guest makes of it, and goes behind.
async fn machine(
    context: &Context,
    system: &System,
    path: &str,
    request: &ModifySettingRequest,
) -> Result<(), Error> {
    let Some(in_guest) = &request.guest_request else {
        return on_host(context, system, path, request).await;
    };
    if request.request_type == Some(ModifyRequestType::Remove) {
        guest(system, in_guest).await?;
        return on_host(context, system, path, request).await;
    }
    on_host(context, system, path, request).await?;
    let Err(error) = guest(system, in_guest).await else { return Ok(()) };
    // What nobody uses goes again. Of what was only updated nobody knows what it was before.
    if request.request_type != Some(ModifyRequestType::Update) {
        let undone = ModifySettingRequest {
            request_type: Some(ModifyRequestType::Remove),
            guest_request: None,
            ..request.clone()
        };
        if let Err(undoing) = on_host(context, system, path, &undone).await {
            tracing::warn!(id = %system.id, %undoing, "what the guest has refused could not be taken back");
        }
    }
    Err(error)
}

/// The part of a change that the agent in the machine does.
async fn guest(system: &System, request: &Any) -> Result<(), Error> {
    let asked = system.ask(Call::Modify, Request::GuestChange { request: request.clone() }).await;
    asked.map(|_| ()).map_err(|error| match error.cause {
        Cause::NotConfigured | Cause::ConnectionClosed => {
            Error { cause: Cause::InvalidState, ..error }.at("$.GuestRequest")
        }
        _ => error.at("$.GuestRequest"),
    })
}

/// The part of a change that the host does.
async fn on_host(
    context: &Context,
    system: &System,
    path: &str,
    request: &ModifySettingRequest,
) -> Result<(), Error> {
    if path == cpu_group::PATH {
        return cpu_group::bind(&context.service, system, request).await;
    }
    let (change, notices) =
        MachineChange::new(path, request.request_type, request.settings.as_ref(), system.runtime_id)?;
    tell(&notices);
    if let Some(socket) = change.socket() {
        // Whoever has to clean up after a crash must know of it before it is there.
        system.update_record(|record| record.note_socket(socket))?;
    }
    let change =
        Any::from_value(&change).map_err(|error| Error::new(Cause::Unexpected, error.to_string()))?;
    system.ask(Call::Modify, Request::ChangeMachine { change }).await.map(|_| ())
}

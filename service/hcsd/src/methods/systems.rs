//! The life of a system: opened, started, paused, shut down, terminated, waited for.

use hcs_core::{Call, Cause, Error, Exit, SystemId, absolute};
use hcs_ipc::{
    compute::{
        CancelOperation, CancelPendingOperation, CloseComputeSystem, CrashComputeSystem, Done,
        ListOperations, Method, OpenComputeSystem, OpenedSystem, OperationsReply, PauseComputeSystem,
        ResumeComputeSystem, SaveComputeSystem, ShutDownComputeSystem, StartComputeSystem, StatusReply,
        TerminateComputeSystem, WaitForComputeSystemExit, WaitForPendingOperation,
    },
    worker::Request,
};
use hcs_schema::{
    Any, CrashOptions, OperationFailureDetail, PauseOptions, PauseSuspensionLevel, SaveOptions, SaveType,
    ShutdownOptions, ShutdownType,
};

use super::{Context, Outcome, done, options, reserved, within};
use crate::reading::read;

/// How long a container may take to end after it was asked to.
const GRACE_MILLISECONDS: u64 = 10_000;

/// Opens a living system by its id.
pub async fn open(context: Context, call: OpenComputeSystem) -> Result<Outcome<OpenedSystem>, Error> {
    let unknown =
        || Error::new(Cause::SystemNotFound, format!("there is no compute system with the id {:?}", call.id));
    let system = context.service.registry.find(&SystemId::new(&call.id)?).ok_or_else(unknown)?;
    system.admits(Call::Open).map_err(|_| unknown())?;
    let handle = context.session.open_system(&system)?;
    Ok(OpenedSystem {
        handle,
        id: system.id.as_str().to_owned(),
        runtime_id: system.runtime_id.to_string(),
        instance: system.instance.clone(),
    }
    .into())
}

/// Closes a handle.
pub async fn close(context: Context, call: CloseComputeSystem) -> Result<Outcome<Done>, Error> {
    context.session.system(call.handle)?;
    context.session.close(call.handle)?;
    Ok(done())
}

/// Starts a created system.
pub async fn start(context: Context, call: StartComputeSystem) -> Result<Outcome<Done>, Error> {
    reserved(call.options.as_ref())?;
    ask::<StartComputeSystem>(&context, call.handle, call.operation, Call::Start, Request::Start)
        .await
        .map_err(|error| error.during(OperationFailureDetail::Start))
}

/// Asks the guest to stop.
pub async fn shut_down(context: Context, call: ShutDownComputeSystem) -> Result<Outcome<Done>, Error> {
    let wanted = read::<ShutdownOptions>(options(call.options.as_ref()))?;
    let unsupported = |member: &str, found: &dyn std::fmt::Display| {
        Error::new(Cause::NotSupported, format!("found {found}, which this version cannot do")).at(member)
    };
    if let Some(kind) = wanted.type_.filter(|kind| *kind != ShutdownType::Shutdown) {
        return Err(unsupported("$.Type", &kind));
    }
    // Mechanism, Force and Reason are for guests with more than one way to stop. Clients send them to every kind
    // of system; a container has one way, whatever they say.
    let request = Request::ShutDown { grace_milliseconds: GRACE_MILLISECONDS };
    ask::<ShutDownComputeSystem>(&context, call.handle, call.operation, Call::ShutDown, request)
        .await
        .map_err(|error| error.during(OperationFailureDetail::Shutdown))
}

/// Ends a system at once.
pub async fn terminate(context: Context, call: TerminateComputeSystem) -> Result<Outcome<Done>, Error> {
    reserved(call.options.as_ref())?;
    let request = Request::Terminate { exit: Exit::TerminatedByClient };
    ask::<TerminateComputeSystem>(&context, call.handle, call.operation, Call::Terminate, request)
        .await
        .map_err(|error| error.during(OperationFailureDetail::Terminate))
}

/// Makes the guest crash; a container has no kernel of its own to do so. What comes of it is told by events.
pub async fn crash(context: Context, call: CrashComputeSystem) -> Result<Outcome<Done>, Error> {
    let system = context.session.system(call.handle)?;
    read::<CrashOptions>(options(call.options.as_ref()))?;
    system.admits(Call::Crash)?;
    let outcome = match system.is_machine {
        true => {
            ask::<CrashComputeSystem>(&context, call.handle, call.operation, Call::Crash, Request::Crash)
                .await
        }
        false => {
            Err(Error::new(Cause::NotSupported, "a container has no kernel of its own that could crash"))
        }
    };
    outcome.map_err(|error| error.during(OperationFailureDetail::Crash))
}

/// Suspends a system.
pub async fn pause(context: Context, call: PauseComputeSystem) -> Result<Outcome<Done>, Error> {
    let wanted = read::<PauseOptions>(options(call.options.as_ref()))?;
    if let Some(level) = wanted.suspension_level.filter(|level| *level != PauseSuspensionLevel::Suspend) {
        return Err(Error::new(Cause::NotSupported, format!("found {level}, expected Suspend"))
            .at("$.SuspensionLevel")
            .during(OperationFailureDetail::Pause));
    }
    ask::<PauseComputeSystem>(&context, call.handle, call.operation, Call::Pause, Request::Pause)
        .await
        .map_err(|error| error.during(OperationFailureDetail::Pause))
}

/// Continues a paused system.
pub async fn resume(context: Context, call: ResumeComputeSystem) -> Result<Outcome<Done>, Error> {
    reserved(call.options.as_ref())?;
    let resumed = async {
        let system = context.session.system(call.handle)?;
        if system.recorded().stands_still {
            system.update_record(|record| record.stands_still = false)?;
        }
        ask::<ResumeComputeSystem>(&context, call.handle, call.operation, Call::Resume, Request::Resume).await
    };
    resumed.await.map_err(|error| error.during(OperationFailureDetail::Resume))
}

/// Saves a virtual machine that is paused.
pub async fn save(context: Context, call: SaveComputeSystem) -> Result<Outcome<Done>, Error> {
    let wanted = read::<SaveOptions>(options(call.options.as_ref()))?;
    save_as(&context, &call, wanted).await.map_err(|error| error.during(OperationFailureDetail::Save))
}

async fn save_as(
    context: &Context,
    call: &SaveComputeSystem,
    wanted: SaveOptions,
) -> Result<Outcome<Done>, Error> {
    const PATH: &str = "$.SaveStateFilePath";
    let system = context.session.system(call.handle)?;
    let as_template = wanted.save_type == Some(SaveType::AsTemplate);
    let kind = if as_template { Call::SaveAsTemplate } else { Call::SaveToFile };
    system.admits(kind)?;
    if !system.is_machine {
        return Err(Error::new(Cause::NotSupported, "containers cannot be saved"));
    }
    let path = wanted.save_state_file_path.filter(|path| !path.is_empty());
    let path = match (as_template, path) {
        (true, None) => None,
        (true, Some(_)) => {
            let detail = "a template is kept in memory, as long as its system is there";
            return Err(Error::new(Cause::NotSupported, detail)
                .at(PATH)
                .hint("Leave SaveStateFilePath out."));
        }
        (false, path) => {
            let path = path.unwrap_or_default();
            absolute(&path, PATH)?;
            Some(path)
        }
    };
    if let Some(path) = &path {
        // Whoever has to clean up after a crash must know of it before it is there.
        let partial = hcs_machine::partial(path.as_ref()).display().to_string();
        system.update_record(|record| {
            record.note_partial_file(&partial);
            // Its worker has no time for a service that comes meanwhile.
            record.stands_still = true;
        })?;
    }
    ask::<SaveComputeSystem>(context, call.handle, call.operation, kind, Request::Save { path }).await
}

/// Waits for the end of a system.
pub async fn wait_for_exit(
    context: Context,
    call: WaitForComputeSystemExit,
) -> Result<Outcome<StatusReply>, Error> {
    let exit = context.session.system(call.handle)?.wait_for_exit().await;
    Ok(StatusReply { status: Any::from_value(&exit.status()).unwrap_or_default() }.into())
}

/// Lists the calls under way.
pub async fn list_operations(
    context: Context,
    _call: ListOperations,
) -> Result<Outcome<OperationsReply>, Error> {
    Ok(OperationsReply { operations: context.service.operations.list() }.into())
}

/// Cancels a call of this session.
pub async fn cancel_operation(context: Context, call: CancelOperation) -> Result<Outcome<Done>, Error> {
    context.service.operations.cancel(&context.session, call.operation)?;
    Ok(done())
}

/// Cancels a call of any session.
pub async fn cancel_pending_operation(
    context: Context,
    call: CancelPendingOperation,
) -> Result<Outcome<Done>, Error> {
    context.service.operations.cancel_by_key(call.key)?;
    Ok(done())
}

/// Waits for the end of a call of any session.
pub async fn wait_for_pending_operation(
    context: Context,
    call: WaitForPendingOperation,
) -> Result<Outcome<Done>, Error> {
    context.service.operations.wait(call.key).await;
    Ok(done())
}

/// Has the system's worker do something, as an operation with a span.
async fn ask<M: Method>(
    context: &Context,
    handle: u64,
    operation: Option<u64>,
    call: Call,
    request: Request,
) -> Result<Outcome<Done>, Error> {
    let system = context.session.system(handle)?;
    let (_entered, span) = context.operation(operation, M::NAME, system.id.as_str());
    within(span, async {
        let result = system.ask(call, request).await;
        match &result {
            Ok(_) => tracing::info!("done"),
            Err(error) => tracing::info!(%error, "failed"),
        }
        result.map(|_| done())
    })
    .await
}

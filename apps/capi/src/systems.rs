//! The exports of the group Compute System Operations.
#![expect(unsafe_code, reason = "exported names")]

use std::sync::Arc;

use hcs_core::{Cause, operation::OperationType};
use hcs_ipc::compute::{
    CancelOperation, CrashComputeSystem, CreateComputeSystem, Done, EnumerateComputeSystems,
    GetComputeSystemProperties, Method, ModifyComputeSystem, OpenComputeSystem, PauseComputeSystem,
    ResumeComputeSystem, SaveComputeSystem, ShutDownComputeSystem, StartComputeSystem,
    TerminateComputeSystem,
};
use hcs_schema::Any;

use crate::{
    abi::{Code, Context, EventCallback, Handle, Out, Owned, Text, code},
    call::{self, Told},
    link::link,
    listener::{Form, Listener},
    operation::{Operation, Outcome, Subject},
    operations::deadline,
    remote::Remote,
    system::System,
    table::{self, Object},
};

/// The only access that can be asked for.
pub const GENERIC_ALL: u32 = 0x1000_0000;

/// The system and the operation of a call, with the operation tracking it.
fn begin(
    system: Handle,
    operation: Handle,
    kind: OperationType,
) -> Result<(Arc<System>, Arc<Operation>), Code> {
    let system = table::system(system).map_err(code)?;
    let operation = table::operation(operation).map_err(code)?;
    let subject = Subject { system: system.handle, process: 0, target: Some(system.target.clone()) };
    operation.begin(kind, subject).map_err(code)?;
    Ok((system, operation))
}

/// A call with options and without a result document.
fn ask<M: Method<Reply = Done>>(
    system: Handle,
    operation: Handle,
    kind: OperationType,
    options: Text,
    call: impl FnOnce(u64, Option<Any>, Option<u64>) -> M,
) -> Code {
    let (system, operation) = match begin(system, operation, kind) {
        Ok(both) => both,
        Err(code) => return code,
    };
    let (handle, options) = match system.remote.get().and_then(|handle| Ok((handle, options.options()?))) {
        Ok(both) => both,
        Err(error) => return operation.fail(error),
    };
    let number = Some(system.link.next_operation());
    call::make(&operation, &system.link, number, &call(handle, options, number), |(done, _)| Ok(done.into()))
}

#[unsafe(no_mangle)]
extern "C" fn HcsCreateComputeSystem(
    id: Text,
    configuration: Text,
    operation: Handle,
    security_descriptor: Context,
    system: Out<Handle>,
) -> Code {
    let checked = system.required().and_then(|_| {
        let present = !configuration.is_null() && security_descriptor == 0;
        present.then_some(()).ok_or(Cause::InvalidArgument)?;
        Ok((id.id()?, table::operation(operation)?))
    });
    let (id, operation) = match checked {
        Ok(both) => both,
        Err(cause) => return code(cause),
    };
    let handle = table::reserve();
    let subject = |target| Subject { system: handle, process: 0, target };
    if let Err(cause) = operation.begin(OperationType::Create, subject(None)) {
        return code(cause);
    }
    let (link, document) = match link().and_then(|link| Ok((link, configuration.document()?))) {
        Ok(both) => both,
        Err(error) => return operation.fail(error),
    };
    let number = link.next_operation();
    let made = System::new(handle, link.clone(), Remote::making(number));
    made.created_by(&operation);
    operation.set_target(made.target.clone());
    table::insert(handle, Object::System(made.clone()));
    system.set(handle);
    let call = CreateComputeSystem { id: id.clone(), document, strict: None, operation: Some(number) };
    call::follow(&operation, &link, Some(number), &call, move |created| match created {
        Ok((created, _)) => {
            made.known_as(&created.runtime_id);
            if made.remote.made(Ok(created.handle)) {
                made.watch(created.handle, &id, &created.instance);
            } else {
                made.link.close_system(created.handle);
            }
            Ok(Told::default())
        }
        Err(error) => {
            made.remote.made(Err(Cause::SystemNotFound));
            made.failed(Cause::SystemNotFound);
            Err(error)
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsOpenComputeSystem(id: Text, access: u32, system: Out<Handle>) -> Code {
    let opened = || {
        system.required().map_err(code)?;
        let id = id.id().map_err(code)?;
        if access != GENERIC_ALL {
            return Err(code(Cause::InvalidArgument));
        }
        let failed = |error: hcs::Error| code(error.cause);
        let link = link().map_err(failed)?;
        let (opened, _) = link.call_wait(&OpenComputeSystem { id }).map_err(failed)?;
        let made = System::new(table::reserve(), link, Remote::open(opened.handle));
        made.known_as(&opened.runtime_id);
        made.watch(opened.handle, &opened.id, &opened.instance);
        system.set(made.handle);
        table::insert(made.handle, Object::System(made));
        Ok(())
    };
    opened().err().unwrap_or(0)
}

#[unsafe(no_mangle)]
extern "C" fn HcsCloseComputeSystem(system: Handle) {
    let Ok(system) = table::remove_system(system) else { return };
    system.target.close();
    if let Some(handle) = system.remote.close() {
        system.link.close_system(handle);
    }
}

#[unsafe(no_mangle)]
extern "C" fn HcsStartComputeSystem(system: Handle, operation: Handle, options: Text) -> Code {
    ask(system, operation, OperationType::Start, options, |handle, options, operation| StartComputeSystem {
        handle,
        options,
        operation,
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsShutDownComputeSystem(system: Handle, operation: Handle, options: Text) -> Code {
    ask(system, operation, OperationType::Shutdown, options, |handle, options, operation| {
        ShutDownComputeSystem { handle, options, operation }
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsTerminateComputeSystem(system: Handle, operation: Handle, options: Text) -> Code {
    let (system, operation) = match begin(system, operation, OperationType::Terminate) {
        Ok(both) => both,
        Err(code) => return code,
    };
    let options = match options.options() {
        Ok(options) => options,
        Err(error) => return operation.fail(error),
    };
    if let Ok(handle) = system.remote.get() {
        return terminate(&system, &operation, handle, options);
    }
    // It is still being created. That is cancelled; where it is too late for that, what was made is ended.
    let (later, on) = (system.clone(), operation.clone());
    let after = system.remote.after_making(Box::new(move |made| match made {
        Some(handle) => drop(terminate(&later, &on, handle, options)),
        None => on.complete(Outcome::success(None, None)),
    }));
    match after {
        Ok(number) => {
            system.link.call(&CancelOperation { operation: number }, |_| ());
            0
        }
        // It was made meanwhile.
        Err(task) => match system.remote.get() {
            Ok(handle) => {
                task(Some(handle));
                0
            }
            Err(error) => operation.fail(error),
        },
    }
}

fn terminate(system: &System, operation: &Arc<Operation>, handle: u64, options: Option<Any>) -> Code {
    let number = Some(system.link.next_operation());
    let call = TerminateComputeSystem { handle, options, operation: number };
    call::make(operation, &system.link, number, &call, |(done, _)| Ok(done.into()))
}

#[unsafe(no_mangle)]
extern "C" fn HcsCrashComputeSystem(system: Handle, operation: Handle, options: Text) -> Code {
    ask(system, operation, OperationType::Crash, options, |handle, options, operation| CrashComputeSystem {
        handle,
        options,
        operation,
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsPauseComputeSystem(system: Handle, operation: Handle, options: Text) -> Code {
    ask(system, operation, OperationType::Pause, options, |handle, options, operation| PauseComputeSystem {
        handle,
        options,
        operation,
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsResumeComputeSystem(system: Handle, operation: Handle, options: Text) -> Code {
    ask(system, operation, OperationType::Resume, options, |handle, options, operation| ResumeComputeSystem {
        handle,
        options,
        operation,
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsSaveComputeSystem(system: Handle, operation: Handle, options: Text) -> Code {
    ask(system, operation, OperationType::Save, options, |handle, options, operation| SaveComputeSystem {
        handle,
        options,
        operation,
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsGetComputeSystemProperties(system: Handle, operation: Handle, query: Text) -> Code {
    let (system, operation) = match begin(system, operation, OperationType::GetProperties) {
        Ok(both) => both,
        Err(code) => return code,
    };
    let (handle, query) = match system.remote.get().and_then(|handle| Ok((handle, query.options()?))) {
        Ok(both) => both,
        Err(error) => return operation.fail(error),
    };
    let call = GetComputeSystemProperties { handle, query };
    call::make(&operation, &system.link, None, &call, |(reply, _)| Ok(Told::document(reply.properties.get())))
}

#[unsafe(no_mangle)]
extern "C" fn HcsModifyComputeSystem(
    system: Handle,
    operation: Handle,
    request: Text,
    identity: Context,
) -> Code {
    if request.is_null() || identity != 0 {
        return code(Cause::InvalidArgument);
    }
    let (system, operation) = match begin(system, operation, OperationType::Modify) {
        Ok(both) => both,
        Err(code) => return code,
    };
    let (handle, request) = match system.remote.get().and_then(|handle| Ok((handle, request.document()?))) {
        Ok(both) => both,
        Err(error) => return operation.fail(error),
    };
    let number = Some(system.link.next_operation());
    let call = ModifyComputeSystem { handle, request, operation: number };
    call::make(&operation, &system.link, number, &call, |(done, _)| Ok(done.into()))
}

#[unsafe(no_mangle)]
extern "C" fn HcsSetComputeSystemCallback(
    system: Handle,
    options: u32,
    context: Context,
    callback: Option<EventCallback>,
) -> Code {
    let set = || {
        let system = table::system(system)?;
        let Some(callback) = callback else {
            system.target.remove_events();
            return Ok(());
        };
        let listener = Listener::new(Form::Events(callback, options), context);
        system.target.set_events(listener)?;
        if let Some(creation) = system.creation() {
            creation.tell_late();
        }
        Ok(())
    };
    crate::abi::outcome(set())
}

#[unsafe(no_mangle)]
extern "C" fn HcsEnumerateComputeSystems(query: Text, operation: Handle) -> Code {
    let operation = match table::operation(operation) {
        Ok(operation) => operation,
        Err(cause) => return code(cause),
    };
    if let Err(cause) = operation.begin(OperationType::Enumerate, Subject::default()) {
        return code(cause);
    }
    let (link, query) = match link().and_then(|link| Ok((link, query.options()?))) {
        Ok(both) => both,
        Err(error) => return operation.fail(error),
    };
    call::make(&operation, &link, None, &EnumerateComputeSystems { query }, |(reply, _)| {
        let systems: Vec<&str> = reply.systems.iter().map(Any::get).collect();
        Ok(Told::document(format!("[{}]", systems.join(","))))
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsWaitForComputeSystemExit(system: Handle, milliseconds: u32, result: Out<Owned>) -> Code {
    result.clear();
    let waited = table::system(system).map_err(code).and_then(|system| {
        let document = system.target.wait_for_exit(&system.link, deadline(milliseconds))?;
        hand_out(&document, result)
    });
    waited.err().unwrap_or(0)
}

/// Gives the caller a copy of a document, if it wants one.
pub fn hand_out(document: &[u16], result: Out<Owned>) -> Result<(), Code> {
    if !result.is_null() {
        result.set(Owned::copy(document).map_err(code)?);
    }
    Ok(())
}

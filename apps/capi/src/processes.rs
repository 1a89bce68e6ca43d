//! The exports of the group Process Execution.
#![expect(unsafe_code, reason = "exported names")]

use std::sync::Arc;

use hcs::Pipes;
use hcs_core::{Cause, Error, operation::OperationType};
use hcs_ipc::compute::{
    CreateProcess, Done, GetProcessInfo, GetProcessProperties, Method, ModifyProcess, OpenProcess,
    SignalProcess, TerminateProcess,
};

use crate::{
    abi::{self, Code, Context, EventCallback, Handle, NotificationCallback, Out, Owned, Text, code},
    call::{self, Told},
    listener::{Form, Listener},
    operation::{Operation, Started, Subject},
    operations::deadline,
    process::Process,
    remote::Remote,
    systems::{GENERIC_ALL, hand_out},
    table::{self, Object},
};

/// The process and the operation of a call, with the operation tracking it.
fn begin(
    process: Handle,
    operation: Handle,
    kind: OperationType,
) -> Result<(Arc<Process>, Arc<Operation>), Code> {
    let process = table::process(process).map_err(code)?;
    let operation = table::operation(operation).map_err(code)?;
    let target = Some(process.target.clone());
    let subject = Subject { system: process.system, process: process.handle, target };
    operation.begin(kind, subject).map_err(code)?;
    Ok((process, operation))
}

/// A call on a process; `call` reads the caller's texts.
fn ask<M: Method>(
    process: Handle,
    operation: Handle,
    kind: OperationType,
    call: impl FnOnce(u64) -> Result<M, Error>,
    understand: impl FnOnce((M::Reply, Vec<std::os::fd::OwnedFd>)) -> Result<Told, hcs::Error> + Send + 'static,
) -> Code {
    let (process, operation) = match begin(process, operation, kind) {
        Ok(both) => both,
        Err(code) => return code,
    };
    match process.remote.get().and_then(call) {
        Ok(call) => call::make(&operation, &process.link, None, &call, understand),
        Err(error) => operation.fail(error),
    }
}

fn done((done, _): (Done, Vec<std::os::fd::OwnedFd>)) -> Result<Told, hcs::Error> {
    Ok(done.into())
}

#[unsafe(no_mangle)]
extern "C" fn HcsCreateProcess(
    system: Handle,
    parameters: Text,
    operation: Handle,
    security_descriptor: Context,
    process: Out<Handle>,
) -> Code {
    let checked = process.required().and_then(|_| {
        let present = !parameters.is_null() && security_descriptor == 0;
        present.then_some(()).ok_or(Cause::InvalidArgument)?;
        Ok((table::system(system)?, table::operation(operation)?))
    });
    let (system, operation) = match checked {
        Ok(both) => both,
        Err(cause) => return code(cause),
    };
    let handle = table::reserve();
    let subject = Subject { system: system.handle, process: handle, target: Some(system.target.clone()) };
    if let Err(cause) = operation.begin(OperationType::CreateProcess, subject) {
        return code(cause);
    }
    let (remote, parameters) =
        match system.remote.get().and_then(|remote| Ok((remote, parameters.document()?))) {
            Ok(both) => both,
            Err(error) => return operation.fail(error),
        };
    let number = system.link.next_operation();
    let made = Process::new(handle, system.handle, system.link.clone(), Remote::making(number));
    table::insert(handle, Object::Process(made.clone()));
    process.set(handle);
    let call = CreateProcess { handle: remote, parameters, operation: Some(number) };
    call::follow(&operation, &system.link, Some(number), &call, move |created| match created {
        Ok((created, fds)) => {
            if made.remote.made(Ok(created.process)) {
                made.watch(created.process, remote, created.process_id);
            } else {
                made.link.close_process(created.process);
            }
            let pipes = Pipes::sort(fds, [created.std_input, created.std_output, created.std_error])?;
            Ok(Told { document: None, process: Some(Started { process_id: created.process_id, pipes }) })
        }
        Err(error) => {
            made.remote.made(Err(Cause::NotFound));
            made.failed(Cause::NotFound);
            Err(error)
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsOpenProcess(system: Handle, process_id: u32, access: u32, process: Out<Handle>) -> Code {
    let opened = || {
        process.required().map_err(code)?;
        let system = table::system(system).map_err(code)?;
        if access != GENERIC_ALL {
            return Err(code(Cause::InvalidArgument));
        }
        let remote = system.remote.get().map_err(|error| code(error.cause))?;
        let (opened, _) = system
            .link
            .call_wait(&OpenProcess { handle: remote, process_id })
            .map_err(|error| code(error.cause))?;
        let made =
            Process::new(table::reserve(), system.handle, system.link.clone(), Remote::open(opened.process));
        made.watch(opened.process, remote, process_id);
        process.set(made.handle);
        table::insert(made.handle, Object::Process(made));
        Ok(())
    };
    opened().err().unwrap_or(0)
}

#[unsafe(no_mangle)]
extern "C" fn HcsCloseProcess(process: Handle) {
    let Ok(process) = table::remove_process(process) else { return };
    process.target.close();
    if let Some(handle) = process.remote.close() {
        process.link.close_process(handle);
    }
}

#[unsafe(no_mangle)]
extern "C" fn HcsTerminateProcess(process: Handle, operation: Handle, options: Text) -> Code {
    let call = |process| Ok(TerminateProcess { process, options: options.options()? });
    ask(process, operation, OperationType::SignalProcess, call, done)
}

#[unsafe(no_mangle)]
extern "C" fn HcsSignalProcess(process: Handle, operation: Handle, options: Text) -> Code {
    let call = |process| Ok(SignalProcess { process, options: options.options()? });
    ask(process, operation, OperationType::SignalProcess, call, done)
}

#[unsafe(no_mangle)]
extern "C" fn HcsGetProcessInfo(process: Handle, operation: Handle) -> Code {
    let call = |process| Ok(GetProcessInfo { process });
    ask(process, operation, OperationType::GetProcessInfo, call, |(info, fds)| {
        let pipes = Pipes::sort(fds, [info.std_input, info.std_output, info.std_error])?;
        Ok(Told { document: None, process: Some(Started { process_id: info.process_id, pipes }) })
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsGetProcessProperties(process: Handle, operation: Handle, query: Text) -> Code {
    let call = |process| {
        // There is nothing to choose yet; what is no JSON is refused all the same.
        query.options()?;
        Ok(GetProcessProperties { process })
    };
    ask(process, operation, OperationType::GetProcessProperties, call, |(reply, _)| {
        Ok(Told::document(reply.status.get()))
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsModifyProcess(process: Handle, operation: Handle, settings: Text) -> Code {
    if settings.is_null() {
        return code(Cause::InvalidArgument);
    }
    let call = |process| Ok(ModifyProcess { process, request: settings.document()? });
    ask(process, operation, OperationType::ModifyProcess, call, done)
}

#[unsafe(no_mangle)]
extern "C" fn HcsSetProcessCallback(
    process: Handle,
    options: u32,
    context: Context,
    callback: Option<EventCallback>,
) -> Code {
    abi::outcome(table::process(process).and_then(|process| match callback {
        None => {
            process.target.remove_events();
            Ok(())
        }
        Some(callback) => process.target.set_events(Listener::new(Form::Events(callback, options), context)),
    }))
}

#[unsafe(no_mangle)]
extern "C" fn HcsWaitForProcessExit(process: Handle, milliseconds: u32, result: Out<Owned>) -> Code {
    result.clear();
    let waited = table::process(process).map_err(code).and_then(|process| {
        let document = process.target.wait_for_exit(&process.link, deadline(milliseconds))?;
        hand_out(&document, result)
    });
    waited.err().unwrap_or(0)
}

#[unsafe(no_mangle)]
extern "C" fn HcsRegisterProcessCallback(
    process: Handle,
    callback: Option<NotificationCallback>,
    context: Context,
    registration: Out<Handle>,
) -> Code {
    let register = || {
        let registration = registration.required()?;
        let process = table::process(process)?;
        let callback = callback.ok_or(Cause::InvalidArgument)?;
        let registered =
            process.target.add_notifications(Listener::new(Form::Notifications(callback), context));
        let handle = table::reserve();
        table::insert(handle, Object::Callback(registered));
        registration.set(handle);
        Ok(())
    };
    abi::outcome(register())
}

#[unsafe(no_mangle)]
extern "C" fn HcsUnregisterProcessCallback(registration: Handle) -> Code {
    abi::outcome(table::remove_callback(registration).map(|registration| registration.remove()))
}

//! The exports of the group Operations.
#![expect(unsafe_code, reason = "exported names")]

use std::time::{Duration, Instant};

use hcs_core::{Cause, operation::OperationType};
use hcs_ipc::compute::CancelOperation;

use crate::{
    abi::{Code, Completion, Context, Handle, Out, Owned, ProcessInformation, code, outcome},
    link::link,
    operation::Operation,
    table::{self, Object},
};

/// When a wait of so many milliseconds ends; `None` for `INFINITE`.
pub fn deadline(milliseconds: u32) -> Option<Instant> {
    (milliseconds != u32::MAX).then(|| Instant::now() + Duration::from_millis(milliseconds.into()))
}

#[unsafe(no_mangle)]
extern "C" fn HcsCreateOperation(context: Context, callback: Option<Completion>) -> Handle {
    let handle = table::reserve();
    table::insert(handle, Object::Operation(Operation::new(handle, context, callback)));
    handle
}

#[unsafe(no_mangle)]
extern "C" fn HcsCloseOperation(operation: Handle) {
    if let Ok(operation) = table::remove_operation(operation) {
        operation.close();
    }
}

#[unsafe(no_mangle)]
extern "C" fn HcsGetOperationContext(operation: Handle) -> Context {
    table::operation(operation).map_or(0, |operation| operation.context())
}

#[unsafe(no_mangle)]
extern "C" fn HcsSetOperationContext(operation: Handle, context: Context) -> Code {
    outcome(table::operation(operation).map(|operation| operation.set_context(context)))
}

#[unsafe(no_mangle)]
extern "C" fn HcsGetComputeSystemFromOperation(operation: Handle) -> Handle {
    let system = table::operation(operation).map_or(0, |operation| operation.subject().0);
    if table::system(system).is_ok() { system } else { 0 }
}

#[unsafe(no_mangle)]
extern "C" fn HcsGetProcessFromOperation(operation: Handle) -> Handle {
    let process = table::operation(operation).map_or(0, |operation| operation.subject().1);
    if table::process(process).is_ok() { process } else { 0 }
}

#[unsafe(no_mangle)]
extern "C" fn HcsGetOperationType(operation: Handle) -> i32 {
    table::operation(operation).map_or(OperationType::None, |operation| operation.kind()) as i32
}

#[unsafe(no_mangle)]
extern "C" fn HcsGetOperationId(operation: Handle) -> u64 {
    // Handles are never given out twice, so they are as good a number as any.
    table::operation(operation).map_or(u64::MAX, |operation| operation.handle() as u64)
}

#[unsafe(no_mangle)]
extern "C" fn HcsGetOperationResult(operation: Handle, document: Out<Owned>) -> Code {
    HcsGetOperationResultAndProcessInfo(operation, Out::none(), document)
}

#[unsafe(no_mangle)]
extern "C" fn HcsGetOperationResultAndProcessInfo(
    operation: Handle,
    information: Out<ProcessInformation>,
    document: Out<Owned>,
) -> Code {
    information.clear();
    document.clear();
    match table::operation(operation) {
        Ok(operation) => operation.read(Cause::OperationPending, information, document),
        Err(cause) => code(cause),
    }
}

#[unsafe(no_mangle)]
extern "C" fn HcsWaitForOperationResult(operation: Handle, milliseconds: u32, document: Out<Owned>) -> Code {
    HcsWaitForOperationResultAndProcessInfo(operation, milliseconds, Out::none(), document)
}

#[unsafe(no_mangle)]
extern "C" fn HcsWaitForOperationResultAndProcessInfo(
    operation: Handle,
    milliseconds: u32,
    information: Out<ProcessInformation>,
    document: Out<Owned>,
) -> Code {
    information.clear();
    document.clear();
    match table::operation(operation) {
        Ok(operation) => {
            operation.wait(deadline(milliseconds));
            operation.read(Cause::OperationTimeout, information, document)
        }
        Err(cause) => code(cause),
    }
}

#[unsafe(no_mangle)]
extern "C" fn HcsSetOperationCallback(
    operation: Handle,
    context: Context,
    callback: Option<Completion>,
) -> Code {
    outcome(
        table::operation(operation)
            .and_then(|operation| operation.set_callback(context, callback.ok_or(Cause::InvalidArgument)?)),
    )
}

#[unsafe(no_mangle)]
extern "C" fn HcsCancelOperation(operation: Handle) -> Code {
    let pending = table::operation(operation).ok().and_then(|one| Some((one.number()?, one.subject().0)));
    let Some((number, system)) = pending else { return code(Cause::NotImplemented) };
    // Numbers are of a session: that of the system, which may be over, is not always the one of new calls.
    let link = table::system(system).map_or_else(|_| link(), |system| Ok(system.link.clone()));
    let cancelled = link.and_then(|link| link.call_wait(&CancelOperation { operation: number }));
    match cancelled {
        Ok(_) => 0,
        // It has ended meanwhile.
        Err(error) if error.cause == Cause::NotFound => code(Cause::NotImplemented),
        Err(error) => code(error.cause),
    }
}

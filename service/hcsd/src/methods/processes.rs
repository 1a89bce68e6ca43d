//! The methods about processes in a system: what is asked of them is checked and planned here, and done by the worker.

use std::os::fd::OwnedFd;

use hcs_container::ProcessPlan;
use hcs_core::{Call, Cause, Error};
use hcs_ipc::{
    compute::{
        CloseProcess, CreateProcess, CreatedProcess, Done, GetProcessInfo, GetProcessProperties, Method,
        ModifyProcess, OpenProcess, OpenedProcess, ProcessInfo, SignalProcess, StatusReply, TerminateProcess,
        WaitForProcessExit,
    },
    worker::{Answer, Request},
};
use hcs_schema::{
    Any, ModifyOperation, OperationFailureDetail, ProcessModifyRequest, ProcessParameters, ProcessSignal,
    Signal, SignalProcessOptions, StdHandle,
};

use super::{Context, Outcome, done, options, reserved, within};
use crate::{
    reading::{read, tell},
    system::Process,
};

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
const LAST_SIGNAL: u32 = 64;

/// Starts a process.
pub async fn create(context: Context, call: CreateProcess) -> Result<Outcome<CreatedProcess>, Error> {
    let system = context.session.system(call.handle)?;
    let (_entered, span) = context.operation(call.operation, CreateProcess::NAME, system.id.as_str());
    let made = async {
        let reading = hcs_schema::read::<ProcessParameters>(call.parameters.get())?;
        let (plan, notices) = ProcessPlan::new(&reading)?;
        tell(&notices);
        let plan =
            Any::from_value(&plan).map_err(|error| Error::new(Cause::Unexpected, error.to_string()))?;
        let (answer, fds) = system.ask(Call::UseProcesses, Request::CreateProcess { plan }).await?;
        let info = started(&answer, fds)?;
        let process = system.process(info.reply.process_id).ok_or(Cause::Unexpected)?;
        let handle = context.session.open_process(&system, &process)?;
        tracing::info!(process = info.reply.process_id, "started");
        Ok(Outcome {
            reply: CreatedProcess {
                process: handle,
                process_id: info.reply.process_id,
                std_input: info.reply.std_input,
                std_output: info.reply.std_output,
                std_error: info.reply.std_error,
            },
            fds: info.fds,
        })
    };
    within(span, made).await.map_err(|error: Error| error.during(OperationFailureDetail::ExecuteProcess))
}

/// The worker's answer with the places of the descriptors.
fn started(answer: &Answer, fds: Vec<OwnedFd>) -> Result<Outcome<ProcessInfo>, Error> {
    let Answer::Started { process_id, stdin, stdout, stderr } = answer else {
        return Err(Error::new(Cause::Unexpected, "the worker answered something else"));
    };
    let mut next = 0;
    let mut place = |there: &bool| {
        there.then(|| {
            next += 1;
            next - 1
        })
    };
    let reply = ProcessInfo {
        process_id: *process_id,
        std_input: place(stdin),
        std_output: place(stdout),
        std_error: place(stderr),
    };
    if next as usize != fds.len() {
        return Err(Error::new(Cause::Unexpected, "the worker sent the wrong number of pipes"));
    }
    Ok(Outcome { reply, fds })
}

/// Opens a process by its id in the system.
pub async fn open(context: Context, call: OpenProcess) -> Result<Outcome<OpenedProcess>, Error> {
    let system = context.session.system(call.handle)?;
    system.admits(Call::UseProcesses)?;
    let process = system.process(call.process_id).ok_or_else(|| {
        Error::new(Cause::NotFound, format!("the system has no process {}", call.process_id))
    })?;
    Ok(OpenedProcess { process: context.session.open_process(&system, &process)? }.into())
}

/// Closes a handle.
pub async fn close(context: Context, call: CloseProcess) -> Result<Outcome<Done>, Error> {
    context.session.process(call.process)?;
    context.session.close(call.process)?;
    Ok(done())
}

/// Kills a process.
pub async fn terminate(context: Context, call: TerminateProcess) -> Result<Outcome<Done>, Error> {
    reserved(call.options.as_ref())?;
    send_signal(&context, call.process, SIGKILL).await
}

/// Sends a signal; without options the process is asked to end.
pub async fn signal(context: Context, call: SignalProcess) -> Result<Outcome<Done>, Error> {
    let wanted = read::<SignalProcessOptions>(options(call.options.as_ref()))?;
    let number = match wanted.signal {
        None => SIGTERM,
        Some(Signal::Number(number @ 1..=LAST_SIGNAL)) => number as i32,
        Some(Signal::Number(number)) => {
            return Err(Error::new(
                Cause::InvalidData,
                format!("found {number}, expected 1 to {LAST_SIGNAL}"),
            )
            .at("$.Signal")
            .during(OperationFailureDetail::SignalProcess));
        }
        Some(Signal::Name(ProcessSignal::CtrlC | ProcessSignal::CtrlBreak)) => SIGINT,
        Some(Signal::Name(ProcessSignal::CtrlClose | ProcessSignal::CtrlLogOff)) => SIGHUP,
        Some(Signal::Name(ProcessSignal::CtrlShutdown)) => SIGTERM,
    };
    send_signal(&context, call.process, number).await
}

async fn send_signal(context: &Context, handle: u64, signal: i32) -> Result<Outcome<Done>, Error> {
    let (system, process) = context.session.process(handle)?;
    let process_id = alive(&process)?;
    system
        .ask(Call::GetProperties, Request::Signal { process_id, signal })
        .await
        .map(|_| done())
        .map_err(|error| error.during(OperationFailureDetail::SignalProcess))
}

/// Pipe ends once more.
pub async fn info(context: Context, call: GetProcessInfo) -> Result<Outcome<ProcessInfo>, Error> {
    let (system, process) = context.session.process(call.process)?;
    let process_id = alive(&process)?;
    let (answer, fds) = system.ask(Call::GetProperties, Request::ProcessInfo { process_id }).await?;
    started(&answer, fds)
}

/// The status, also after the end.
pub async fn properties(context: Context, call: GetProcessProperties) -> Result<Outcome<StatusReply>, Error> {
    let (system, process) = context.session.process(call.process)?;
    system.admits(Call::GetProperties)?;
    status(&process)
}

fn status(process: &Process) -> Result<Outcome<StatusReply>, Error> {
    Ok(StatusReply { status: Any::from_value(&process.status()).unwrap_or_default() }.into())
}

/// Resizes the console or closes a stream.
pub async fn modify(context: Context, call: ModifyProcess) -> Result<Outcome<Done>, Error> {
    let (system, process) = context.session.process(call.process)?;
    let request = read::<ProcessModifyRequest>(call.request.get())?;
    let process_id = alive(&process)?;
    match request.operation.unwrap_or_default() {
        ModifyOperation::ConsoleSize => {
            let missing = || Error::new(Cause::InvalidData, "found nothing").at("$.ConsoleSize");
            let size = request.console_size.ok_or_else(missing)?;
            let (rows, columns) = (size.height.unwrap_or(0), size.width.unwrap_or(0));
            system
                .ask(Call::GetProperties, Request::ResizeConsole { process_id, rows, columns })
                .await
                .map(|_| done())
        }
        ModifyOperation::CloseHandle => {
            match request.close_handle.and_then(|close| close.handle).unwrap_or_default() {
                StdHandle::StdIn => {
                    system.ask(Call::GetProperties, Request::CloseStdin { process_id }).await.map(|_| done())
                }
                other => Err(Error::new(
                    Cause::NotSupported,
                    format!("found {other}; the process writes straight into the caller's pipe"),
                )
                .at("$.CloseHandle.Handle")
                .hint("Close your own end.")),
            }
        }
    }
    .map_err(|error| error.during(OperationFailureDetail::ModifyProcess))
}

/// Waits for the end of a process.
pub async fn wait_for_exit(
    context: Context,
    call: WaitForProcessExit,
) -> Result<Outcome<StatusReply>, Error> {
    let (_, process) = context.session.process(call.process)?;
    process.wait_for_exit().await;
    status(&process)
}

fn alive(process: &Process) -> Result<u32, Error> {
    match process.exit() {
        None => Ok(process.process_id),
        Some(_) => Err(Error::new(
            Cause::ProcessAlreadyStopped,
            format!("process {} has exited", process.process_id),
        )),
    }
}

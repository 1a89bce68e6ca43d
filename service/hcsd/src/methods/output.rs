//! `GetOutput` and `OpenSerialPort`: what is said in a system goes from its worker, or from QEMU, straight to the caller, and
//! passes by here no more than the pipes of processes do.

use std::os::fd::OwnedFd;

use hcs_core::{Call, Cause, Error};
use hcs_ipc::{
    compute::{GetOutput, Method, OpenSerialPort, Output, SerialPort},
    worker::{Answer, Request},
};

use super::{Context, Outcome, within};

/// Gives the caller what was said and kept.
pub async fn get(context: Context, call: GetOutput) -> Result<Outcome<Output>, Error> {
    let system = context.session.system(call.handle)?;
    let (_entered, span) = context.operation(None, GetOutput::NAME, system.id.as_str());
    let request = Request::Output { process_id: call.process_id, follow: call.follow == Some(true) };
    let answered = within(span, system.ask(Call::GetProperties, request)).await?;
    let fds = one(answered, |answer| matches!(answer, Answer::Output))?;
    Ok(Outcome { reply: Output { output: 0 }, fds })
}

/// Connects the caller to a serial port of a machine.
pub async fn open_serial_port(context: Context, call: OpenSerialPort) -> Result<Outcome<SerialPort>, Error> {
    let system = context.session.system(call.handle)?;
    if !system.is_machine {
        return Err(Error::new(Cause::NotSupported, "a container has no serial ports")
            .hint("Open a process that has a console instead."));
    }
    let (_entered, span) = context.operation(None, OpenSerialPort::NAME, system.id.as_str());
    let request = Request::SerialPort { number: call.port };
    let answered = within(span, system.ask(Call::GetProperties, request)).await?;
    let fds = one(answered, |answer| matches!(answer, Answer::SerialPort))?;
    Ok(Outcome { reply: SerialPort { socket: 0 }, fds })
}

/// The one descriptor beside the answer that was expected.
fn one(answered: (Answer, Vec<OwnedFd>), is_it: impl Fn(&Answer) -> bool) -> Result<Vec<OwnedFd>, Error> {
    let (answer, fds) = answered;
    if !is_it(&answer) || fds.len() != 1 {
        return Err(Error::new(Cause::Unexpected, "the worker answered something else"));
    }
    Ok(fds)
}

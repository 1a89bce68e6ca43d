//! What may come of an operation in which something went wrong.

use hcs::{Cause, schema::State};
use hcs_tests::faults::Step;

use super::{
    aside::DEVICE,
    cell::{Victim, Wrong, cuts_off},
    operations::{NotDone, Operation},
};

/// Whether this end of an operation and this state afterwards are among those that may be; how it was, for the record.
pub fn judge(
    operation: &Operation,
    (step, wrong): (&Step, Wrong),
    ended: &Option<Result<(), &NotDone>>,
    state: Option<State>,
) -> Result<String, String> {
    // What QEMU has met with, or a program that is a device, is told in their words; or QEMU has ended of it.
    let is_their_own = step.is_of_machine() || step.role == DEVICE;
    let is_beside = is_their_own || operation.kind.has_device_host();
    let told = match ended {
        None => "unheard".to_owned(),
        Some(Ok(())) => "done".to_owned(),
        Some(Err(NotDone::Killed)) => "killed".to_owned(),
        Some(Err(NotDone::Said(_))) => "said".to_owned(),
        Some(Err(NotDone::Told(error))) => error.cause.name().to_owned(),
    };
    let said = match ended {
        Some(Err(NotDone::Told(error))) => format!("{told} ({error})"),
        _ => told.clone(),
    };
    let told = format!("{told}, {}", state.as_ref().map_or("ended".to_owned(), |state| format!("{state:?}")));
    let (from, to) = (&operation.from, &operation.to);
    let is_ended = state.is_none();
    let has_no_qemu = is_ended || state == Some(State::Created);
    let ends = matches!(wrong, Wrong::Kill(Victim::Worker | Victim::Inside));
    let may_be = match ended {
        // Half of it may have been done by somebody who lives.
        None => state == *from || state == *to,
        Some(Ok(())) => state == *to || (ends && is_ended),
        // A container whose init was killed in its start has not been started.
        Some(Err(_)) if ends => is_ended || (*from == Some(State::Created) && state == *from),
        Some(Err(_)) if matches!(wrong, Wrong::Kill(Victim::Service) | Wrong::Cut) => {
            state == *from || state == *to || (wrong == Wrong::Cut && is_ended)
        }
        Some(Err(_)) => state == *from || is_ended,
    };
    if !may_be {
        return Err(format!("{said}, and then {state:?}"));
    }
    match ended {
        Some(Err(NotDone::Told(error)))
            if !(causes(wrong).contains(&error.cause)
                || cuts_off(operation, step, wrong)
                    && (causes(Wrong::Kill(Victim::Agent)).contains(&error.cause)
                        || is_ended && error.cause == Cause::Terminated)
                || is_deaf(step, error)
                || is_beside && error.cause == Cause::Unexpected
                || is_their_own && has_no_qemu && error.cause == Cause::UnexpectedExit) =>
        {
            Err(format!("told as {said}"))
        }
        // The agent takes along what it has.
        Some(Err(NotDone::Killed)) if !is_ended && wrong != Wrong::Kill(Victim::Agent) => {
            Err("a process was killed in a system that lives".to_owned())
        }
        // Its kernel has it from the server of its folders.
        Some(Err(NotDone::Said(said))) if !(step.is_of_machine() && is_said(wrong, said)) => {
            Err(format!("a process has said {said:?}"))
        }
        _ => Ok(told),
    }
}

/// Whether a program has said what has failed.
fn is_said(wrong: Wrong, said: &str) -> bool {
    let (Wrong::FailOnce(error) | Wrong::FailForEver(error)) = wrong else { return false };
    let text = std::io::Error::from_raw_os_error(error).to_string();
    text.split_once(" (").is_some_and(|(text, _)| said.contains(text))
}

/// Whether somebody in the machine is told to have waited in vain for who serves it folders: that is so until it is started anew.
pub fn is_deaf(step: &Step, error: &hcs::Error) -> bool {
    step.is_of_machine() && error.cause == Cause::DeadlineExceeded
}

/// What the failure of a call may be told as.
pub fn causes(wrong: Wrong) -> &'static [Cause] {
    use Cause::*;
    match wrong {
        Wrong::Kill(Victim::Service) => &[ServiceDisconnect],
        Wrong::Kill(Victim::Worker | Victim::Inside) => &[
            UnexpectedExit,
            TerminatedDuringStart,
            SystemAlreadyStopped,
            SystemNotFound,
            ProcessAlreadyStopped,
        ],
        Wrong::Kill(Victim::Spare | Victim::Client) | Wrong::Delay => &[],
        // It has given the device up, or there is none any more.
        // QEMU 10.1 dies of one that dies while it is plugged in.
        Wrong::Kill(Victim::Device) => &[Unexpected, NotFound, UnexpectedExit],
        Wrong::Kill(Victim::Agent) => &[ConnectionClosed, InvalidState],
        Wrong::Cut => &[ServiceDisconnect, UnexpectedExit, TerminatedDuringStart],
        Wrong::FailOnce(error) | Wrong::FailForEver(error) => match error {
            libc::EMFILE => &[TooManyOpenFiles],
            libc::ENOSPC => &[DiskFull],
            // The C library says of every thread that cannot be that there are too many.
            libc::ENOMEM => &[OutOfMemory, NotEnoughQuota],
            libc::EAGAIN => &[NotEnoughQuota],
            libc::EBUSY => &[InUse],
            _ => &[],
        },
    }
}

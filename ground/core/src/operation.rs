//! The life of an operation handle: New, then Pending and Completed in turn for every call it tracks.
//!
//! ```text
//!   New ──begin──► Pending ──complete──► Completed
//!                     ▲                      │
//!                     └────────begin─────────┘
//! ```
//!
//! The C library keeps one [`Operation`] per handle; callbacks, waiting and memory are its business, the rules
//! are here.

use crate::cause::Cause;

/// What an operation tracks, with the numbers of the C API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum OperationType {
    /// Not used yet.
    None = -1,
    /// HcsEnumerateComputeSystems.
    Enumerate = 0,
    /// HcsCreateComputeSystem.
    Create = 1,
    /// HcsStartComputeSystem.
    Start = 2,
    /// HcsShutDownComputeSystem.
    Shutdown = 3,
    /// HcsPauseComputeSystem.
    Pause = 4,
    /// HcsResumeComputeSystem.
    Resume = 5,
    /// HcsSaveComputeSystem.
    Save = 6,
    /// HcsTerminateComputeSystem.
    Terminate = 7,
    /// HcsModifyComputeSystem.
    Modify = 8,
    /// HcsGetComputeSystemProperties.
    GetProperties = 9,
    /// HcsCreateProcess.
    CreateProcess = 10,
    /// HcsSignalProcess and HcsTerminateProcess.
    SignalProcess = 11,
    /// HcsGetProcessInfo.
    GetProcessInfo = 12,
    /// HcsGetProcessProperties.
    GetProcessProperties = 13,
    /// HcsModifyProcess.
    ModifyProcess = 14,
    /// HcsCrashComputeSystem.
    Crash = 15,
}

/// An operation that completes with an `R`.
#[derive(Debug)]
pub struct Operation<R> {
    tracked: OperationType,
    phase: Phase<R>,
}

#[derive(Debug)]
enum Phase<R> {
    New,
    Pending,
    Completed(R),
}

impl<R> Operation<R> {
    /// An operation that has not been used.
    pub fn new() -> Operation<R> {
        Operation { tracked: OperationType::None, phase: Phase::New }
    }

    /// Begins to track a call. The result of an earlier call is given up.
    pub fn begin(&mut self, tracked: OperationType) -> Result<(), Cause> {
        if matches!(self.phase, Phase::Pending) {
            return Err(Cause::OperationAlreadyStarted);
        }
        self.tracked = tracked;
        self.phase = Phase::Pending;
        Ok(())
    }

    /// Ends the tracked call. Only the first end of a call counts; later ones are reported as `false`.
    pub fn complete(&mut self, result: R) -> bool {
        let pending = matches!(self.phase, Phase::Pending);
        if pending {
            self.phase = Phase::Completed(result);
        }
        pending
    }

    /// The result of the tracked call, if there is one yet.
    pub fn result(&self) -> Result<&R, Cause> {
        match &self.phase {
            Phase::New => Err(Cause::OperationNotStarted),
            Phase::Pending => Err(Cause::OperationPending),
            Phase::Completed(result) => Ok(result),
        }
    }

    /// As [`Operation::result`], to take something out of it.
    pub fn result_mut(&mut self) -> Result<&mut R, Cause> {
        match &mut self.phase {
            Phase::New => Err(Cause::OperationNotStarted),
            Phase::Pending => Err(Cause::OperationPending),
            Phase::Completed(result) => Ok(result),
        }
    }

    /// What is or was tracked.
    pub fn tracked(&self) -> OperationType {
        self.tracked
    }

    /// Whether a call is under way.
    pub fn is_pending(&self) -> bool {
        matches!(self.phase, Phase::Pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_serves_one_call_after_another() {
        let mut operation = Operation::new();
        assert_eq!(operation.result(), Err(Cause::OperationNotStarted));
        assert_eq!(operation.tracked(), OperationType::None);
        operation.begin(OperationType::Create).unwrap();
        assert_eq!(operation.result(), Err(Cause::OperationPending));
        assert_eq!(operation.begin(OperationType::Start), Err(Cause::OperationAlreadyStarted));
        assert!(operation.complete(1));
        assert!(!operation.complete(2));
        assert_eq!(operation.result(), Ok(&1));
        operation.begin(OperationType::Start).unwrap();
        assert_eq!(operation.result(), Err(Cause::OperationPending));
        assert_eq!(operation.tracked(), OperationType::Start);
    }
}

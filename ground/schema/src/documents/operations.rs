//! History and notifications of operations.
//!
//! Written by the service; clients see them in diagnostics only.

use crate::kind::DateTime;
use crate::macros::{choices, documents};

documents! {
    /// History record of an operation (API call, exit or crash).
    pub struct OperationInfo {
        /// Kind.
        "Operation" 2.6 operation: OperationType,
        /// Begin.
        "StartTimestamp" 2.6 start_timestamp: String as DateTime,
        /// End.
        "EndTimestamp" 2.6 end_timestamp: String as DateTime,
        /// Absent when it succeeded.
        "FailureInfo" 2.6 failure_info: OperationFailureInfo,
    }

    /// How an operation failed.
    pub struct OperationFailureInfo {
        /// HRESULT.
        "Result" 2.6 result: i32,
    }

    /// Payload of an operation notification. Has no members.
    pub struct OperationNotificationInfo {}

    /// Payload of a progress notification. Has no members.
    pub struct OperationProgress {}
}

choices! {
    /// Kind of operation.
    pub enum OperationType {
        2.6:
            None,
            /// Create.
            Construct,
            Start,
            Pause,
            Resume,
            Shutdown,
            Terminate,
            Save,
            GetProperties,
            Modify,
            Crash,
            /// HcsCreateProcess.
            ExecuteProcess,
            GetProcessInfo,
            SignalProcess,
            ModifyProcess,
            CancelOperation;
    }
}

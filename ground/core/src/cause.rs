//! The one table from causes to HRESULT, name and text.
//!
//! Every failure that the product reports is one of these causes. The name is also the name of the Varlink
//! error, so a client in any language can match on it. No other table of the product has HRESULTs; those that the protocol of the
//! agents has itself are in `wire/gcs/src/code.rs`.

use crate::hresult::HResult;

macro_rules! causes {
    ($( $(#[$doc:meta])* $name:ident = $code:literal, $text:literal; )+) => {
        /// Why a call failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Cause {
            $( $(#[$doc])* $name, )+
        }

        impl Cause {
            /// Every cause, in the order of the table.
            pub const ALL: &'static [Cause] = &[ $( Cause::$name, )+ ];

            /// The HRESULT that callers see.
            pub const fn hresult(self) -> HResult {
                match self { $( Cause::$name => HResult::from_code($code), )+ }
            }

            /// The name of the Varlink error and of the cause in logs.
            pub const fn name(self) -> &'static str {
                match self { $( Cause::$name => stringify!($name), )+ }
            }

            /// One sentence for people, without particulars.
            pub const fn text(self) -> &'static str {
                match self { $( Cause::$name => $text, )+ }
            }

            /// The cause with this name.
            pub fn from_name(name: &str) -> Option<Cause> {
                match name { $( stringify!($name) => Some(Cause::$name), )+ _ => None }
            }
        }
    };
}

causes! {
    /// HCS_E_TERMINATED_DURING_START.
    TerminatedDuringStart = 0x8037_0100, "The compute system ended while it was starting.";
    /// HCS_E_IMAGE_MISMATCH.
    ImageMismatch = 0x8037_0101, "The container's operating system does not fit this host.";
    /// HCS_E_HYPERV_NOT_INSTALLED.
    VirtualizationMissing = 0x8037_0102, "Virtual machines cannot run here: a required host feature is missing.";
    /// HCS_E_INVALID_STATE.
    InvalidState = 0x8037_0105, "The compute system is not in a state that allows this call.";
    /// HCS_E_UNEXPECTED_EXIT.
    UnexpectedExit = 0x8037_0106, "The compute system exited unexpectedly.";
    /// HCS_E_TERMINATED.
    Terminated = 0x8037_0107, "The compute system was terminated.";
    /// HCS_E_CONNECT_FAILED.
    ConnectFailed = 0x8037_0108, "No connection to the guest could be made.";
    /// HCS_E_CONNECTION_TIMEOUT.
    ConnectionTimeout = 0x8037_0109, "The guest did not answer in time.";
    /// HCS_E_CONNECTION_CLOSED.
    ConnectionClosed = 0x8037_010A, "The connection to the guest was lost.";
    /// HCS_E_UNKNOWN_MESSAGE.
    UnknownMessage = 0x8037_010B, "The guest does not know this message.";
    /// HCS_E_UNSUPPORTED_PROTOCOL_VERSION.
    UnsupportedProtocolVersion = 0x8037_010C, "There is no common protocol version.";
    /// HCS_E_INVALID_JSON: the text is not JSON.
    InvalidJson = 0x8037_010D, "The document is not valid JSON.";
    /// HCS_E_SYSTEM_NOT_FOUND.
    SystemNotFound = 0x8037_010E, "There is no compute system with this id.";
    /// HCS_E_SYSTEM_ALREADY_EXISTS.
    SystemAlreadyExists = 0x8037_010F, "A compute system with this id already exists.";
    /// HCS_E_SYSTEM_ALREADY_STOPPED.
    SystemAlreadyStopped = 0x8037_0110, "The compute system has stopped.";
    /// HCS_E_PROTOCOL_ERROR.
    ProtocolError = 0x8037_0111, "The guest broke the protocol.";
    /// HCS_E_INVALID_LAYER.
    InvalidLayer = 0x8037_0112, "The layer has an unknown format.";
    /// HCS_E_WINDOWS_INSIDER_REQUIRED; kept so that the table is complete.
    InsiderRequired = 0x8037_0113, "The image needs a pre-release host.";
    /// HCS_E_SERVICE_NOT_AVAILABLE.
    ServiceNotAvailable = 0x8037_0114, "The host compute service is not available.";
    /// HCS_E_OPERATION_NOT_STARTED.
    OperationNotStarted = 0x8037_0115, "The operation has not been used in a call.";
    /// HCS_E_OPERATION_ALREADY_STARTED.
    OperationAlreadyStarted = 0x8037_0116, "The operation already tracks a call.";
    /// HCS_E_OPERATION_PENDING.
    OperationPending = 0x8037_0117, "The operation is still running.";
    /// HCS_E_OPERATION_TIMEOUT.
    OperationTimeout = 0x8037_0118, "The operation did not finish in the given time.";
    /// HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET.
    CallbackAlreadySet = 0x8037_0119, "An event callback is already set on this handle, or excludes this operation's callback.";
    /// HCS_E_OPERATION_RESULT_ALLOCATION_FAILED.
    ResultAllocationFailed = 0x8037_011A, "There is no memory for the result.";
    /// HCS_E_ACCESS_DENIED: the caller lacks the privilege to use the service.
    NotPrivileged = 0x8037_011B, "The caller may not use the host compute service.";
    /// HCS_E_GUEST_CRITICAL_ERROR.
    GuestCriticalError = 0x8037_011C, "The guest reported a critical error.";
    /// HCS_E_PROCESS_INFO_NOT_AVAILABLE.
    ProcessInfoNotAvailable = 0x8037_011D, "There is no process information.";
    /// HCS_E_SERVICE_DISCONNECT.
    ServiceDisconnect = 0x8037_011E, "The connection to the host compute service was lost.";
    /// HCS_E_PROCESS_ALREADY_STOPPED.
    ProcessAlreadyStopped = 0x8037_011F, "The process has exited.";
    /// HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION.
    NotConfigured = 0x8037_0120, "The compute system's configuration lacks what this call needs.";
    /// HCS_E_OPERATION_ALREADY_CANCELLED.
    OperationAlreadyCancelled = 0x8037_0121, "The operation was cancelled before.";

    /// What a second host of devices for a virtual machine is told.
    DeviceHostExists = 0xC037_0030, "The virtual machine has a device host already.";

    /// E_CHANGED_STATE.
    ChangedState = 0x8000_000C, "The object is no longer what it was, and takes no calls.";
    /// E_NOTIMPL.
    NotImplemented = 0x8000_4001, "This is not implemented.";
    /// E_UNEXPECTED.
    Unexpected = 0x8000_FFFF, "Something went wrong that should not be possible.";
    /// ERROR_FILE_NOT_FOUND.
    FileNotFound = 0x8007_0002, "A file was not found.";
    /// ERROR_PATH_NOT_FOUND.
    PathNotFound = 0x8007_0003, "A path was not found.";
    /// ERROR_TOO_MANY_OPEN_FILES.
    TooManyOpenFiles = 0x8007_0004, "A limit on open files, connections or handles is reached.";
    /// E_ACCESSDENIED: rights on a file or object are missing. Only for permission problems.
    AccessDenied = 0x8007_0005, "Access is denied.";
    /// ERROR_INVALID_HANDLE.
    InvalidHandle = 0x8007_0006, "The handle is not valid.";
    /// ERROR_INVALID_DATA: the document is JSON but not a valid document.
    InvalidData = 0x8007_000D, "The document is invalid.";
    /// E_OUTOFMEMORY.
    OutOfMemory = 0x8007_000E, "There is not enough memory.";
    /// ERROR_SHARING_VIOLATION.
    InUse = 0x8007_0020, "The object is in use.";
    /// ERROR_NOT_SUPPORTED: known, valid, and not possible here.
    NotSupported = 0x8007_0032, "This is not supported.";
    /// ERROR_FILE_EXISTS.
    FileExists = 0x8007_0050, "The file exists.";
    /// E_INVALIDARG.
    InvalidArgument = 0x8007_0057, "An argument is invalid.";
    /// ERROR_BROKEN_PIPE.
    BrokenPipe = 0x8007_006D, "The pipe has been ended.";
    /// ERROR_DISK_FULL.
    DiskFull = 0x8007_0070, "The disk is full.";
    /// ERROR_ALREADY_EXISTS.
    AlreadyExists = 0x8007_00B7, "The object already exists.";
    /// ERROR_NOT_FOUND.
    NotFound = 0x8007_0490, "The element was not found.";
    /// ERROR_CANCELLED: what a cancelled operation completes with.
    Cancelled = 0x8007_04C7, "The operation was cancelled.";
    /// ERROR_TIMEOUT: an internal deadline of the service.
    DeadlineExceeded = 0x8007_05B4, "An internal time limit was reached.";
    /// ERROR_NOT_ENOUGH_QUOTA.
    NotEnoughQuota = 0x8007_0718, "A limit of this host or of the service is reached.";
    /// HCN_E_ENDPOINT_ALREADY_ATTACHED.
    EndpointAlreadyAttached = 0x803B_0014, "The network endpoint is already attached.";
}

impl Cause {
    /// The cause with this HRESULT, if the table has one.
    pub fn from_hresult(hresult: HResult) -> Option<Cause> {
        Cause::ALL.iter().copied().find(|cause| cause.hresult() == hresult)
    }

    /// The cause that an operating system error number stands for.
    ///
    /// The numbers are Linux's and spelled out, because this crate has no platform dependency.
    pub const fn from_errno(errno: i32) -> Cause {
        match errno {
            2 => Cause::FileNotFound,
            20 | 40 => Cause::PathNotFound,
            8 => Cause::ImageMismatch,
            1 | 13 => Cause::AccessDenied,
            12 => Cause::OutOfMemory,
            16 | 26 => Cause::InUse,
            17 => Cause::FileExists,
            22 | 36 => Cause::InvalidArgument,
            23 | 24 => Cause::TooManyOpenFiles,
            28 | 122 => Cause::DiskFull,
            32 => Cause::BrokenPipe,
            95 | 38 => Cause::NotSupported,
            110 => Cause::DeadlineExceeded,
            11 => Cause::NotEnoughQuota,
            _ => Cause::Unexpected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_a_distinct_failure_with_a_sentence() {
        let mut codes: Vec<u32> = Cause::ALL.iter().map(|cause| cause.hresult().code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Cause::ALL.len());
        for cause in Cause::ALL {
            assert!(cause.hresult().is_failure(), "{}", cause.name());
            assert!(cause.text().ends_with('.'), "{}", cause.name());
            assert_eq!(Cause::from_name(cause.name()), Some(*cause));
            assert_eq!(Cause::from_hresult(cause.hresult()), Some(*cause));
        }
    }

    #[test]
    fn what_the_operating_system_says_has_a_cause() {
        // The numbers of Linux, as errno(3) names them.
        let expected = [
            (1, Cause::AccessDenied),
            (2, Cause::FileNotFound),
            (12, Cause::OutOfMemory),
            (13, Cause::AccessDenied),
            (16, Cause::InUse),
            (17, Cause::FileExists),
            (20, Cause::PathNotFound),
            (22, Cause::InvalidArgument),
            (24, Cause::TooManyOpenFiles),
            (28, Cause::DiskFull),
            (32, Cause::BrokenPipe),
            (95, Cause::NotSupported),
            (110, Cause::DeadlineExceeded),
            (5, Cause::Unexpected),
        ];
        assert_eq!(expected.map(|(number, _)| (number, Cause::from_errno(number))), expected);
    }
}

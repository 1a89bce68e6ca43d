//! The events that systems and processes report to the callers that hold handles to them.

/// The event numbers of the C API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EventType {
    /// The system ended; data is a SystemExitStatus.
    SystemExited = 0x0000_0001,
    /// A guest crash began; data is a CrashReport.
    SystemCrashInitiated = 0x0000_0002,
    /// A guest crash was reported; data is a CrashReport.
    SystemCrashReport = 0x0000_0003,
    /// Enhanced console mode changed; no data.
    SystemRdpEnhancedModeStateChanged = 0x0000_0004,
    /// Reserved.
    SystemSiloJobCreated = 0x0000_0005,
    /// The guest service's connection closed; no data.
    SystemGuestConnectionClosed = 0x0000_0006,
    /// A process ended; data is a ProcessStatus.
    ProcessExited = 0x0001_0000,
    /// An operation completed; only with the option that asks for it.
    OperationCallback = 0x0100_0000,
    /// The service went away and the handle with it.
    ServiceDisconnect = 0x0200_0000,
}

impl EventType {
    /// Every event, in the order of their numbers.
    pub const ALL: &'static [EventType] = &[
        EventType::SystemExited,
        EventType::SystemCrashInitiated,
        EventType::SystemCrashReport,
        EventType::SystemRdpEnhancedModeStateChanged,
        EventType::SystemSiloJobCreated,
        EventType::SystemGuestConnectionClosed,
        EventType::ProcessExited,
        EventType::OperationCallback,
        EventType::ServiceDisconnect,
    ];
}

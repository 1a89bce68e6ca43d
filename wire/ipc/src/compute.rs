//! The methods of `io.hcs.Compute` as types: parameters and reply of each, used by hcsd and by the client.
//!
//! A test holds this file against the interface text, name by name.
#![expect(missing_docs, reason = "the interface text documents parameters and members")]

use hcs_schema::Any;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A method: its full name, its parameters (the implementing type), its reply.
pub trait Method: Serialize + DeserializeOwned {
    /// `io.hcs.Compute.Name`.
    const NAME: &'static str;
    /// The members of the parameters.
    const PARAMETERS: &'static [&'static str];
    /// What comes back.
    type Reply: Serialize + DeserializeOwned;
}

/// A reply without members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

macro_rules! methods {
    ($( $name:ident { $($parameter:ident $wire:literal : $type:ty),* $(,)? } -> $reply:ty; )+) => {
        $(
            #[doc = concat!("Parameters of ", stringify!($name), "; the interface text documents them.")]
            #[derive(Clone, Debug, Serialize, Deserialize)]
            pub struct $name { $( #[serde(rename = $wire)] pub $parameter: $type, )* }

            impl Method for $name {
                const NAME: &'static str = concat!("io.hcs.Compute.", stringify!($name));
                const PARAMETERS: &'static [&'static str] = &[$($wire),*];
                type Reply = $reply;
            }
        )+

        /// The full names of all methods with the names of their parameters.
        pub const METHODS: &[(&str, &[&str])] = &[$( ($name::NAME, $name::PARAMETERS), )+];
    };
}

methods! {
    Attach { token "token": Option<String>, claims "claims": Option<Vec<Claim>> } -> AttachReply;
    Join { token "token": String } -> Done;
    WatchEvents { since "since": Option<u64> } -> WatchEventsReply;
    CreateComputeSystem {
        id "id": String, document "document": Any, strict "strict": Option<bool>, operation "operation": Option<u64>
    } -> CreatedSystem;
    OpenComputeSystem { id "id": String } -> OpenedSystem;
    CloseComputeSystem { handle "handle": u64 } -> Done;
    StartComputeSystem { handle "handle": u64, options "options": Option<Any>, operation "operation": Option<u64> } -> Done;
    ShutDownComputeSystem { handle "handle": u64, options "options": Option<Any>, operation "operation": Option<u64> } -> Done;
    TerminateComputeSystem { handle "handle": u64, options "options": Option<Any>, operation "operation": Option<u64> } -> Done;
    CrashComputeSystem { handle "handle": u64, options "options": Option<Any>, operation "operation": Option<u64> } -> Done;
    PauseComputeSystem { handle "handle": u64, options "options": Option<Any>, operation "operation": Option<u64> } -> Done;
    ResumeComputeSystem { handle "handle": u64, options "options": Option<Any>, operation "operation": Option<u64> } -> Done;
    SaveComputeSystem { handle "handle": u64, options "options": Option<Any>, operation "operation": Option<u64> } -> Done;
    GetComputeSystemProperties { handle "handle": u64, query "query": Option<Any> } -> PropertiesReply;
    ModifyComputeSystem { handle "handle": u64, request "request": Any, operation "operation": Option<u64> } -> Done;
    EnumerateComputeSystems { query "query": Option<Any> } -> SystemsReply;
    WaitForComputeSystemExit { handle "handle": u64 } -> StatusReply;
    GetOutput {
        handle "handle": u64, process_id "processId": Option<u32>, follow "follow": Option<bool>
    } -> Output;
    OpenSerialPort { handle "handle": u64, port "port": u32 } -> SerialPort;
    HostDevices { handle "handle": u64, restricted "restricted": Option<bool> } -> DeviceChannel;
    CreateProcess { handle "handle": u64, parameters "parameters": Any, operation "operation": Option<u64> } -> CreatedProcess;
    OpenProcess { handle "handle": u64, process_id "processId": u32 } -> OpenedProcess;
    CloseProcess { process "process": u64 } -> Done;
    TerminateProcess { process "process": u64, options "options": Option<Any> } -> Done;
    SignalProcess { process "process": u64, options "options": Option<Any> } -> Done;
    GetProcessInfo { process "process": u64 } -> ProcessInfo;
    GetProcessProperties { process "process": u64 } -> StatusReply;
    ModifyProcess { process "process": u64, request "request": Any } -> Done;
    WaitForProcessExit { process "process": u64 } -> StatusReply;
    GetServiceProperties { query "query": Option<Any> } -> PropertiesReply;
    ModifyServiceSettings { settings "settings": Any } -> Done;
    SubmitWerReport { report "report": Any } -> SubmittedReport;
    ListCrashReports {} -> CrashReportsReply;
    GetCrashReport { report "report": String } -> CrashReportReply;
    GetMachineUser { id "id": Option<String> } -> MachineUser;
    GetHostReport {} -> HostReport;
    ListOperations {} -> OperationsReply;
    CancelOperation { operation "operation": u64 } -> Done;
    CancelPendingOperation { key "key": u64 } -> Done;
    WaitForPendingOperation { key "key": u64 } -> Done;
}

macro_rules! records {
    ($( $(#[$doc:meta])* $name:ident { $($member:ident: $type:ty),* $(,)? } )+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Serialize, Deserialize)]
            #[serde(rename_all = "camelCase")]
            pub struct $name { $( pub $member: $type, )* }
        )+
    };
}

records! {
    /// `Warning`.
    Warning { path: String, message: String }
    /// `ProcessClaim`.
    ProcessClaim { process: u64, process_id: u32 }
    /// `Claim`.
    Claim { handle: u64, id: String, instance: String, processes: Vec<ProcessClaim> }
    /// `Attached`.
    Attached { token: String, handles: Vec<u64>, processes: Vec<u64> }
    /// `Event`.
    Event {
        sequence: u64,
        r#type: EventKind,
        handle: Option<u64>,
        process: Option<u64>,
        data: Option<Any>,
    }
    /// `SystemEvent`.
    SystemEvent { sequence: u64, r#type: SystemEventKind, id: String, state: String, data: Option<Any> }
    /// `OutputPiece`.
    OutputPiece { process: Option<u32>, stream: OutputStream, time: u64, offset: u64, length: u64 }
    /// `PendingOperation`.
    PendingOperation {
        key: u64,
        operation: u64,
        method: String,
        id: Option<String>,
        step: String,
        milliseconds: u64,
        can_be_cancelled: bool,
    }
    /// `CrashReportEntry`.
    CrashReportEntry { report: String, id: String, time: i64 }
    /// Reply of Attach: first `attached`, then one `event` each.
    AttachReply { attached: Option<Attached>, event: Option<Event> }
    /// Reply of WatchEvents.
    WatchEventsReply { event: SystemEvent }
    /// Reply of CreateComputeSystem.
    CreatedSystem { handle: u64, runtime_id: String, instance: String, warnings: Vec<Warning> }
    /// Reply of OpenComputeSystem.
    OpenedSystem { handle: u64, id: String, runtime_id: String, instance: String }
    /// Reply with a Properties or ServiceProperties document.
    PropertiesReply { properties: Any }
    /// Reply of EnumerateComputeSystems.
    SystemsReply { systems: Vec<Any> }
    /// Reply with a SystemExitStatus or ProcessStatus document.
    StatusReply { status: Any }
    /// Reply of GetOutput.
    Output { output: u32 }
    /// Reply of OpenSerialPort.
    SerialPort { socket: u32 }
    /// Reply of HostDevices.
    DeviceChannel { channel: u32 }
    /// Reply of CreateProcess.
    CreatedProcess {
        process: u64,
        process_id: u32,
        std_input: Option<u32>,
        std_output: Option<u32>,
        std_error: Option<u32>,
    }
    /// Reply of OpenProcess.
    OpenedProcess { process: u64 }
    /// Reply of GetProcessInfo.
    ProcessInfo {
        process_id: u32,
        std_input: Option<u32>,
        std_output: Option<u32>,
        std_error: Option<u32>,
    }
    /// Reply of SubmitWerReport.
    SubmittedReport { report: String }
    /// Reply of ListCrashReports.
    CrashReportsReply { reports: Vec<CrashReportEntry> }
    /// Reply of GetCrashReport.
    CrashReportReply { document: Any }
    /// Reply of GetMachineUser.
    MachineUser { user: Option<u32>, group: u32 }
    /// Reply of GetHostReport.
    HostReport {
        version: String,
        kvm: bool,
        qemu: Option<String>,
        run_folder: String,
        state_folder: String,
        open_files: u64,
    }
    /// Reply of ListOperations.
    OperationsReply { operations: Vec<PendingOperation> }
}

/// The `type` of an `Event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventKind {
    SystemExited,
    SystemCrashInitiated,
    SystemCrashReport,
    SystemGuestConnectionClosed,
    ProcessExited,
}

/// The `type` of a `SystemEvent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SystemEventKind {
    Present,
    Created,
    Started,
    Paused,
    Resumed,
    Saved,
    Exited,
    Crashed,
    ProcessCreated,
    ProcessExited,
}

/// The `stream` of an `OutputPiece`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OutputStream {
    StdOut,
    StdErr,
    Console,
}

impl OutputStream {
    /// Its name in the manner of the documents.
    pub fn name(self) -> &'static str {
        match self {
            OutputStream::StdOut => "StdOut",
            OutputStream::StdErr => "StdErr",
            OutputStream::Console => "Console",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The methods of the interface text with their parameter names, by a reader that shares nothing with the
    /// types above.
    fn methods_of(text: &str) -> Vec<(String, Vec<String>)> {
        let code: String = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(" ");
        code.split("method ")
            .skip(1)
            .map(|method| {
                let (name, rest) = method.split_once('(').unwrap();
                let parameters = rest.split_once(") ->").unwrap().0;
                let names =
                    parameters.split(',').filter_map(|p| p.split_once(':')).map(|p| p.0.trim().to_owned());
                (format!("io.hcs.Compute.{}", name.trim()), names.collect())
            })
            .collect()
    }

    #[test]
    fn the_types_and_the_interface_text_agree() {
        let from_text = methods_of(&crate::interface::text());
        let from_types: Vec<(String, Vec<String>)> = METHODS
            .iter()
            .map(|(name, parameters)| {
                ((*name).to_owned(), parameters.iter().map(|parameter| (*parameter).to_owned()).collect())
            })
            .collect();
        assert_eq!(from_types, from_text);
    }
}

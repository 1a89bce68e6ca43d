//! What is known of each request to a worker: how long it may take, and what it is called.

use std::time::Duration;

use hcs_ipc::worker::Request;

/// The time limit of a request: no client may hang because a worker does.
pub fn limit(request: &Request, is_machine: bool) -> Duration {
    Duration::from_secs(match request {
        // All the memory of one that was saved is read from a disk.
        Request::Start if is_machine => 600,
        Request::Create { .. }
        | Request::CreateMachine { .. }
        | Request::CreateHosted { .. }
        | Request::Start
        | Request::CreateProcess { .. } => 60,
        // Who asks wants to know whether it hangs.
        Request::Heartbeat => 2,
        Request::Pause | Request::Resume => 20,
        // All its memory is written to a disk.
        Request::Save { .. } => 600,
        // It waits for the guest, which the worker does for half a minute.
        Request::ChangeMachine { .. } | Request::GuestChange { .. } => 45,
        // Then the worker is killed, which kills the system as well; so there is no reason to be patient.
        Request::Terminate { .. } => 3,
        _ => 10,
    })
}

/// What a request is called in the log.
pub fn name(request: &Request) -> &'static str {
    match request {
        Request::Create { .. } => "Create",
        Request::CreateMachine { .. } => "CreateMachine",
        Request::CreateBare { .. } => "CreateBare",
        Request::CreateHosted { .. } => "CreateHosted",
        Request::Start => "Start",
        Request::ShutDown { .. } => "ShutDown",
        Request::Terminate { .. } => "Terminate",
        Request::Pause => "Pause",
        Request::Resume => "Resume",
        Request::Change { .. } => "Change",
        Request::ChangeMachine { .. } => "ChangeMachine",
        Request::GuestChange { .. } => "GuestChange",
        Request::Crash => "Crash",
        Request::Picture => "Picture",
        Request::HostDevices { .. } => "HostDevices",
        Request::Save { .. } => "Save",
        Request::Template => "Template",
        Request::Output { .. } => "Output",
        Request::SerialPort { .. } => "SerialPort",
        Request::Statistics => "Statistics",
        Request::Memory => "Memory",
        Request::SharedRegions => "SharedRegions",
        Request::ProcessList => "ProcessList",
        Request::GuestConnection => "GuestConnection",
        Request::Heartbeat => "Heartbeat",
        Request::CreateProcess { .. } => "CreateProcess",
        Request::Signal { .. } => "Signal",
        Request::ProcessInfo { .. } => "ProcessInfo",
        Request::CloseStdin { .. } => "CloseStdin",
        Request::ResizeConsole { .. } => "ResizeConsole",
        Request::Own { .. } => "Own",
        Request::Twin => "Twin",
        Request::Release => "Release",
    }
}

//! Processes in a system: parameters, state, changes.
//!
//! Read by the service when a process is created or changed, written when one is described.

use crate::kind::DateTime;
use crate::macros::{choices, documents};
use crate::{OciProcess, Signal};
use std::collections::BTreeMap;

documents! {
    /// Input of HcsCreateProcess.
    pub struct ProcessParameters {
        /// Executable when not derived from the command line.
        "ApplicationName" 2.0 application_name: String,
        /// Full command line.
        "CommandLine" 2.0 command_line: String,
        /// argv alternative; Linux guest service only.
        "CommandArgs" 2.0 command_args: Vec<String>,
        /// Account to run as.
        "User" 2.0 user: String,
        /// Initial directory.
        "WorkingDirectory" 2.0 working_directory: String,
        /// Extra environment variables.
        "Environment" 2.0 environment: BTreeMap<String, String>,
        /// Run with reduced privileges.
        "RestrictedToken" 2.0 restricted_token: bool,
        /// Give the process a pseudo console; stderr pipe is then not used.
        "EmulateConsole" 2.0 emulate_console: bool,
        /// Create a stdin pipe.
        "CreateStdInPipe" 2.0 create_std_in_pipe: bool,
        /// Create a stdout pipe.
        "CreateStdOutPipe" 2.0 create_std_out_pipe: bool,
        /// Create a stderr pipe.
        "CreateStdErrPipe" 2.0 create_std_err_pipe: bool,
        /// Two-element array \[rows, columns\].
        "ConsoleSize" 2.0 console_size: [u16; 2],
        /// Run in an existing login of User.
        "UseExistingLogin" 2.0 use_existing_login: bool,
        /// Legacy console host.
        "UseLegacyConsole" 2.0 use_legacy_console: bool,
        /// Linux addition: the process as an OCI runtime takes it.
        "OciProcess" linux oci_process: OciProcess,
        /// Linux addition: what Windows has no word for.
        "Linux" linux linux: ProcessLinux,
    }

    /// Linux addition to ProcessParameters.
    pub struct ProcessLinux {
        /// Its worker keeps what it says, in the place of pipes; GetOutput tells it, also when the process has ended.
        "Log" linux log: ProcessLog,
    }

    /// Linux addition: what a process says on its standard output and error, kept in the memory of its worker.
    pub struct ProcessLog {
        /// How much is kept: 4 KiB to 16 MiB, 1 MiB if nothing is said. The oldest goes first.
        "MaximumSizeBytes" linux maximum_size_bytes: u64,
    }

    /// Result of HcsGetProcessProperties / HcsWaitForProcessExit; EventData of ProcessExited.
    pub struct ProcessStatus {
        /// PID.
        "ProcessId" 2.1 process_id: u32,
        /// Process has ended.
        "Exited" 2.1 exited: bool,
        /// Meaningful only if Exited and LastWaitResult is S_OK.
        "ExitCode" 2.1 exit_code: u32,
        /// HRESULT of the wait on the process.
        "LastWaitResult" 2.1 last_wait_result: i32,
        /// Linux addition: what Windows has no word for.
        "Linux" linux linux: ProcessStatusLinux,
    }

    /// Linux addition to ProcessStatus.
    pub struct ProcessStatusLinux {
        /// It was killed because the system had used up its memory.
        "KilledByMemoryLimit" linux killed_by_memory_limit: bool,
    }

    /// Element of property "ProcessList".
    pub struct ProcessDetails {
        /// PID.
        "ProcessId" 2.1 process_id: u32,
        /// Executable.
        "ImageName" 2.1 image_name: String,
        /// Start time.
        "CreateTimestamp" 2.1 create_timestamp: String as DateTime,
        /// User time, 100 ns units.
        "UserTime100ns" 2.1 user_time_100ns: u64,
        /// Kernel time, 100 ns units.
        "KernelTime100ns" 2.1 kernel_time_100ns: u64,
        /// Commit.
        "MemoryCommitBytes" 2.1 memory_commit_bytes: u64,
        /// Private working set.
        "MemoryWorkingSetPrivateBytes" 2.1 memory_working_set_private_bytes: u64,
        /// Shared working set.
        "MemoryWorkingSetSharedBytes" 2.1 memory_working_set_shared_bytes: u64,
    }

    /// Input of HcsModifyProcess.
    pub struct ProcessModifyRequest {
        /// Which of the two members applies.
        "Operation" 2.0 operation: ModifyOperation,
        /// New size, for ConsoleSize.
        "ConsoleSize" 2.0 console_size: ConsoleSize,
        /// Stream, for CloseHandle.
        "CloseHandle" 2.0 close_handle: CloseHandle,
    }

    /// Size of a console.
    pub struct ConsoleSize {
        /// Rows.
        "Height" 2.0 height: u16 => required,
        /// Columns.
        "Width" 2.0 width: u16 => required,
    }

    /// Close a standard stream of a process.
    pub struct CloseHandle {
        /// Which standard stream(s) to close.
        "Handle" 2.0 handle: StdHandle,
    }

    /// Options of HcsSignalProcess.
    pub struct SignalProcessOptions {
        /// The signal: a name, or on Linux a number.
        "Signal" 2.1 signal: Signal,
    }
}

choices! {
    /// What to change on a process.
    pub enum ModifyOperation {
        2.0:
            /// Resize console.
            ConsoleSize,
            /// Close std stream(s).
            CloseHandle;
    }

    /// Standard stream of a process.
    pub enum StdHandle {
        2.0: StdIn, StdOut, StdErr;
        2.1: All;
    }

    /// Console event sent to a process.
    pub enum ProcessSignal {
        2.1: CtrlC, CtrlBreak, CtrlClose, CtrlLogOff, CtrlShutdown;
    }
}

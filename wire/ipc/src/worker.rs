//! The private protocol between hcsd and the worker of a system.
//!
//! A worker begins with one connection to the hcsd that started it, maybe before it is needed; [`Request::Own`] gives
//! it its system and the socket at which a later hcsd finds it. That one connects to the socket. Either side frames
//! JSON as [`crate::frame`] says. hcsd speaks first:
//! [`Hello`] with the versions it knows; the worker answers [`Welcome`] with the version they share and
//! everything that hcsd must know to adopt it. Then requests flow one way, replies (by number, in any order)
//! and notices the other. A new connection takes over from an old one, so that a restarted hcsd can always
//! get in.
//!
//! The worker keeps exits until hcsd says [`Request::Release`]; what happens while no hcsd is connected is in
//! the next [`Welcome`].
//!
//! VERSIONS. A release of hcsd speaks its own version and that of the release before, so that it adopts the
//! workers which that release left running. Members are only ever added, and each has a default.

use hcs_core::{Cause, DeviceFailure, Error, Exit};
use hcs_schema::Any;
use serde::{Deserialize, Serialize};

/// The versions of the protocol that this release speaks, best first.
pub const VERSIONS: &[u32] = &[1];

/// The first message of hcsd.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The versions it speaks.
    pub versions: Vec<u32>,
    /// The container in the machine that this is about; without it this is about the worker's own system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted: Option<String>,
}

/// The answer to [`Hello`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that is spoken from now on; `None` if there is no common one, and the connection closes.
    pub version: Option<u32>,
    /// Process id of the worker.
    pub pid: u32,
    /// What the system is doing.
    pub phase: Phase,
    /// Every process that was created and not yet forgotten, with the exits that wait.
    pub processes: Vec<ProcessRecord>,
}

/// Where the worker's system is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing was asked of the worker yet.
    Idle,
    /// Created.
    Created,
    /// Started.
    Running,
    /// Paused.
    Paused,
    /// A template of others, which does not go on.
    Template,
    /// Ended like this; everything it owned is gone.
    Exited(Exit),
}

/// A process as the worker knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// Its id inside of the system.
    pub process_id: u32,
    /// Its end, if it has ended.
    pub exit: Option<ProcessExit>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessExit {
    /// Exit code, or 128 + signal.
    pub code: u32,
    /// It was killed because the system had used up its memory.
    #[serde(default)]
    pub out_of_memory: bool,
}

/// A request of hcsd, or its reply.
#[derive(Debug, Serialize, Deserialize)]
pub struct Numbered<T> {
    /// Chosen by hcsd; the reply repeats it.
    pub number: u64,
    /// What is asked or answered.
    pub body: T,
}

/// What hcsd asks of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Belong to this system. Beside it comes the listening socket. No answer.
    Own {
        /// The system's GUID, for process lists.
        name: String,
    },
    /// Without a system: become two. The new process is a worker of its own, with the connection that comes beside.
    /// Answer: [`Answer::Done`] with what stands for the new process beside it; the new one greets.
    Twin,
    /// Make the system from this plan. Answer: [`Answer::Done`].
    Create {
        /// A plan of the container engine.
        plan: Any,
    },
    /// Make a virtual machine from this plan. Beside it comes what a clone needs of its template. Answer:
    /// [`Answer::Done`].
    CreateMachine {
        /// A plan of the engine for virtual machines.
        plan: Any,
    },
    /// Be the machine that the worker runs on, as a place for processes. For the agent in a virtual machine.
    CreateBare {
        /// The folder under the cgroup roots that holds what the agent owns.
        cgroup_parent: String,
        /// The name of the cgroup.
        name: String,
    },
    /// Make a container in the machine, as the agent there understands it. Answer: [`Answer::Done`].
    CreateHosted {
        /// A document of a container.
        document: Any,
    },
    /// Start it.
    Start,
    /// Ask it to stop by itself; the end comes as a notice.
    ShutDown {
        /// After this time it is killed.
        grace_milliseconds: u64,
    },
    /// Kill it and remove everything it owns.
    Terminate {
        /// What to report as the cause.
        exit: Exit,
    },
    /// Freeze all its processes.
    Pause,
    /// Let them go on.
    Resume,
    /// Change its limits.
    Change {
        /// A change of the container engine.
        change: Any,
    },
    /// Change a virtual machine.
    ChangeMachine {
        /// A change of the engine for virtual machines.
        change: Any,
    },
    /// Have the agent in a virtual machine change something there.
    GuestChange {
        /// A GuestModifySettingRequest.
        request: Any,
    },
    /// Make the guest of a virtual machine crash.
    Crash,
    /// A picture of the screen of a virtual machine. Answer: [`Answer::Picture`].
    Picture,
    /// Let an application host devices for a virtual machine. Answer: [`Answer::Channel`].
    HostDevices {
        /// It has fewer rights.
        is_restricted: bool,
    },
    /// Save a virtual machine that is paused.
    Save {
        /// To this file; without one it becomes a template.
        path: Option<String>,
    },
    /// What a clone needs of this template. Answer: [`Answer::Template`].
    Template,
    /// Counters of the system.
    Statistics,
    /// Its memory.
    Memory,
    /// Where a guest has the memory that it shares with the host.
    SharedRegions,
    /// Its processes.
    ProcessList,
    /// What the agent in a virtual machine has said of itself.
    GuestConnection,
    /// Whether the agent in a virtual machine answers.
    Heartbeat,
    /// Start a process from this plan. Answer: [`Answer::Started`].
    CreateProcess {
        /// A process plan of the container engine.
        plan: Any,
    },
    /// Send a signal to a process.
    Signal {
        /// Its id inside of the system.
        process_id: u32,
        /// Signal number.
        signal: i32,
    },
    /// The pipe ends of a process once more. Answer: [`Answer::Started`].
    ProcessInfo {
        /// Its id inside of the system.
        process_id: u32,
    },
    /// What was said and kept. Answer: [`Answer::Output`].
    Output {
        /// Of this process; without one, of all and of the consoles.
        process_id: Option<u32>,
        /// And what comes.
        follow: bool,
    },
    /// Connect to a serial port of a virtual machine. Answer: [`Answer::SerialPort`].
    SerialPort {
        /// Which: COM1 is 0.
        number: u32,
    },
    /// Close the process's end of its standard input; a console is typed the end of the input.
    CloseStdin {
        /// Its id inside of the system.
        process_id: u32,
    },
    /// Change the size of a process's console.
    ResizeConsole {
        /// Its id inside of the system.
        process_id: u32,
        /// The new height.
        rows: u16,
        /// The new width.
        columns: u16,
    },
    /// hcsd knows how the system ended; the worker may go.
    Release,
}

/// What a worker answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// It is done.
    Done,
    /// The process runs; descriptors come beside the message, in the order input, output, error.
    Started {
        /// Its id inside of the system.
        process_id: u32,
        /// Whether a pipe end for the standard input is among the descriptors.
        stdin: bool,
        /// The same for standard output.
        stdout: bool,
        /// The same for standard error.
        stderr: bool,
    },
    /// A file with a picture comes beside the message.
    Picture,
    /// A file or a pipe with what was said comes beside the message.
    Output,
    /// A socket that is connected to the port comes beside the message.
    SerialPort,
    /// The application's end of its channel to the worker comes beside the message; [`crate::device_host`] is spoken there.
    Channel,
    /// Files come beside the message: the state of the devices, and the memory.
    Template {
        /// The plan of the template.
        plan: Any,
    },
    /// A part of a Properties document.
    Document(Any),
    /// It failed.
    Failed(Failure),
}

/// A failure on its way from a worker to hcsd.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Name of the cause.
    pub cause: String,
    /// What failed.
    pub detail: String,
    /// The member to blame.
    pub path: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Operating system error.
    pub errno: Option<i32>,
    /// The device of an application that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Box<DeviceFailure>>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure {
            cause: error.cause.name().to_owned(),
            detail: error.detail,
            path: error.path,
            hint: error.hint,
            errno: error.errno,
            device: error.device,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        Error {
            cause: Cause::from_name(&failure.cause).unwrap_or(Cause::Unexpected),
            detail: failure.detail,
            path: failure.path,
            hint: failure.hint,
            errno: failure.errno,
            during: None,
            device: failure.device,
        }
    }
}

/// What a worker says without being asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Notice {
    /// A process ended.
    ProcessExited(ProcessRecord),
    /// The guest of a virtual machine has crashed.
    Crash {
        /// Whether everything is done that is to be done about it.
        is_complete: bool,
        /// A CrashReport document.
        report: Any,
    },
    /// The connection to the agent in a virtual machine is gone.
    GuestConnectionClosed,
    /// The system ended, and everything it owned is gone.
    SystemExited(Exit),
}

/// A message from a worker, after the [`Welcome`].
#[derive(Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// The answer to a request.
    Reply(Numbered<Answer>),
    /// Something happened.
    Notice(Notice),
}

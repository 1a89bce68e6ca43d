//! The pure heart of the Host Compute System: what a compute system is, which call is legal when, what an
//! operation is, how things are named, and how failures are told.
//!
//! Everything here is plain data and functions over it. No rule does I/O, reads a clock or starts a thread, so every rule
//! can be tested without root and without a machine. The service, the workers, the client library and the C
//! library all decide by these modules and by nothing else:
//!
//! * [`state`]: the life of a compute system and the calls each state admits.
//! * [`operation`]: the life of an operation handle.
//! * [`id`]: system ids and the GUIDs derived from them.
//! * [`cause`], [`hresult`] and [`error`]: the one table from causes to HRESULT and text, and errors built on it.
//! * [`event`] and [`exit`]: what systems and processes report, and how an end is attributed; [`device_failure`]: what of
//!   it is due to a device of an application.
//! * [`mod@absolute`]: paths in documents.
//! * [`complain!`]: a line for the log of a program.
//! * [`host_program`]: programs of the host, found and run.
//! * [`lock`]: locks on files, also on those that who has them removes.
//! * [`mountinfo`]: what the kernel says of mounts.
//! * [`random`]: random numbers of the kernel.
//! * [`ready`]: waiting for descriptors, within a limit. These six have all the I/O here.
//! * [`timestamp`]: times as documents write them.
#![forbid(unsafe_code)]

pub mod absolute;
pub mod cause;
pub mod complaint;
pub mod device_failure;
pub mod error;
pub mod event;
pub mod exit;
pub mod host_program;
pub mod hresult;
pub mod id;
pub mod lock;
pub mod mountinfo;
pub mod operation;
pub mod random;
pub mod ready;
pub mod state;
pub mod timestamp;

pub use absolute::absolute;
pub use cause::Cause;
pub use device_failure::DeviceFailure;
pub use error::{Error, Result, io_failure};
pub use event::EventType;
pub use exit::Exit;
pub use hresult::HResult;
pub use id::{RuntimeId, SystemId};
pub use operation::{Operation, OperationType};
pub use state::{Call, Lifecycle, State};

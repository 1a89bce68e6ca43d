//! The container engine: a Container document becomes a plan, a plan becomes namespaces, cgroups, mounts and
//! processes.
//!
//! Three sides use it:
//!
//! * hcsd (and the guest agent's host side) plans: [`plan`], [`process_plan`], [`policy`]. Planning touches
//!   nothing, so a document is refused before anything exists.
//! * the worker acts: [`container`] makes, starts and ends a container by its plan, [`process`] runs processes
//!   in it. The worker is single-threaded; between clone3 and execve its children make only raw system calls
//!   and report failures as (step, errno) over a close-on-exec pipe ([`report`]).
//! * the engine for virtual machines: [`host_process`] starts programs of the host for a machine, [`host_view`] is all that one sees,
//!   [`shares`] are folders that come and go in that.
//!
//! The agent in a virtual machine is such a worker too, and for processes that run on the machine itself there is
//! [`bare`].
//!
//! A container has no process of the user's as its first process. PID 1 is [`init`], a loop that reaps; the
//! container lives until it is shut down or terminated.

pub mod attributes;
pub mod bare;
pub mod cgroup;
pub mod change;
pub mod command_line;
pub mod confinement;
pub mod console;
pub mod container;
mod device;
pub mod file_owner;
pub mod host_process;
pub mod host_view;
pub mod hosted_system;
pub mod init;
mod launch;
mod mounts;
pub mod network;
mod oci;
pub mod pinned_program;
pub mod plan;
pub mod policy;
pub mod privileges;
pub mod process;
mod process_list;
pub mod process_plan;
mod report;
mod said;
pub mod seccomp;
pub mod shares;
mod streams;
mod sys;
pub mod user_namespace;
pub mod users;
mod vfork;
pub mod zygote;

pub use bare::Bare;
pub use container::Container;
pub use mounts::detached;
pub use plan::Plan;
pub use process::Process;
pub use process_plan::ProcessPlan;

//! What the service knows about, and does to, the machine it runs on.
//!
//! The service properties (processor topology, processor capabilities, memory, CPU groups), the service
//! settings (CPU groups) and the crash reports handed in by clients end here. The modules read the kernel's
//! files and write cgroups and state files; they return plain Rust values and know nothing of the documents,
//! which the service's property and settings handlers make from them.
//!
//! | Module | Noun |
//! |---|---|
//! | [`topology`] | the logical processors that are online |
//! | [`capabilities`] | the features of the processor |
//! | [`memory`] | the memory of the host and of its nodes |
//! | [`cpu_groups`] | CPU groups, kept as cgroups and as records that outlive the service |
//! | [`cpuset_mount`] | where the cpuset controller is mounted |
//! | [`crashes`] | submitted crash reports |
//! | [`machine_users`] | the users of virtual machines |
//!
//! Beneath them: `group_cgroups` (the cgroups of a CPU group), `cgroup_dir` (the files of one cgroup),
//! `processor_set` (the check of a wanted set),
//! `cpu_group_records` and `durable` (state files that survive a crash), `cpu_list` (the kernel's list
//! syntax). [`cpu_group_error`] is the one error type of the CPU groups.
//!
//! What must hold: every root (`/sys`, `/proc`, a mount point, a state folder) is a parameter, so that each
//! module can be tested against a recorded tree and without privileges.

pub mod capabilities;
mod cgroup_dir;
pub mod cpu_group_error;
mod cpu_group_records;
pub mod cpu_groups;
mod cpu_list;
pub mod cpuset_mount;
pub mod crashes;
mod durable;
pub mod group_cgroups;
pub mod machine_users;
pub mod memory;
mod processor_set;
pub mod topology;

#[cfg(test)]
mod scratch;

//! Why an operation on a CPU group failed.
//!
//! [`super::cpu_groups`] returns it; the service's settings handler turns each variant into a result code and
//! the text into the error message. What must hold: the text is one sentence that says what failed, what was
//! found and what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A failed operation on a CPU group.
#[derive(Debug)]
pub enum CpuGroupError {
    /// The id is no GUID, or the all-zero one that means "no group".
    BadId {
        /// What was given.
        given: String,
    },
    /// The count does not match the list.
    CountMismatch {
        /// The count given.
        count: u32,
        /// The length of the list given.
        listed: usize,
    },
    /// The list is empty.
    NoProcessors,
    /// A processor is listed twice.
    DuplicateProcessor {
        /// The processor.
        processor: u32,
    },
    /// A processor is offline, absent, or withheld from this service.
    UnusableProcessor {
        /// The processor.
        processor: u32,
        /// The processors that can be used, as a list.
        usable: String,
    },
    /// A group of this id exists.
    Exists {
        /// The group.
        group: String,
    },
    /// No group of this id exists.
    NotFound {
        /// The group.
        group: String,
    },
    /// The group still has members.
    InUse {
        /// The group.
        group: String,
        /// Its processes.
        processes: Vec<u32>,
        /// The cgroups that were made below it.
        cgroups: usize,
    },
    /// A property that a Linux host cannot set.
    UnsupportedProperty {
        /// Its code.
        code: u32,
        /// Its name.
        name: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// A property code that has no meaning.
    UnknownProperty {
        /// The code.
        code: u32,
    },
    /// A capacity outside 1 to 65536.
    BadCapacity {
        /// The value given.
        value: u64,
    },
    /// No process of this id exists.
    NoSuchProcess {
        /// The process id.
        pid: u32,
    },
    /// The kernel refused something about a cgroup.
    Cgroup {
        /// What was tried.
        action: String,
        /// The file or folder.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// A record of a group could not be read or written.
    Record {
        /// The file or folder.
        path: PathBuf,
        /// The failure.
        source: io::Error,
    },
}

impl fmt::Display for CpuGroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadId { given } => write!(
                f,
                "the CPU group id {given:?} names no group: give a GUID without braces that is not all zero"
            ),
            Self::CountMismatch { count, listed } => write!(
                f,
                "a CPU group of {count} processors was asked for but {listed} were listed: \
                 make LogicalProcessorCount the length of LogicalProcessors"
            ),
            Self::NoProcessors => write!(
                f,
                "a CPU group without processors was asked for: list at least one in LogicalProcessors"
            ),
            Self::DuplicateProcessor { processor } => {
                write!(f, "processor {processor} is listed twice for the CPU group: list each processor once")
            }
            Self::UnusableProcessor { processor, usable } => write!(
                f,
                "processor {processor} cannot be in a CPU group because this host offers the processors \
                 {usable}: choose among those"
            ),
            Self::Exists { group } => {
                write!(f, "CPU group {group} exists already: choose another id or delete that group first")
            }
            Self::NotFound { group } => write!(f, "there is no CPU group {group}: create it first"),
            Self::InUse { group, processes, cgroups } => write!(
                f,
                "CPU group {group} is in use by {} process(es){} and {cgroups} cgroup(s): \
                 unbind or stop the systems in it first",
                processes.len(),
                first_of(processes)
            ),
            Self::UnsupportedProperty { code, name, reason } => write!(
                f,
                "the CPU group property {name} ({code:#010x}) is not supported because {reason}: \
                 leave it unset"
            ),
            Self::UnknownProperty { code } => write!(
                f,
                "the CPU group property code {code:#010x} is unknown: use 0x00010000, the CPU capacity"
            ),
            Self::BadCapacity { value } => write!(
                f,
                "the CPU capacity {value} is outside 1 to 65536: give a share of the group's processors, \
                 where 65536 is all of their time"
            ),
            Self::NoSuchProcess { pid } => write!(
                f,
                "process {pid} cannot join a CPU group because it does not exist: check whether it has exited"
            ),
            Self::Cgroup { action, path, source } => write!(
                f,
                "could not {action} at {} ({source}): \
                 check that the service may manage this cgroup hierarchy",
                path.display()
            ),
            Self::Record { path, source } => write!(
                f,
                "the CPU group record {} could not be kept or read ({source}): \
                 check the service's state folder",
                path.display()
            ),
        }
    }
}

/// A few of the processes, so that a sentence stays one.
fn first_of(processes: &[u32]) -> String {
    if processes.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = processes.iter().take(4).map(u32::to_string).collect();
    let more = if processes.len() > 4 { ", …" } else { "" };
    format!(" ({}{more})", shown.join(", "))
}

impl std::error::Error for CpuGroupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cgroup { source, .. } | Self::Record { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_carries_the_numbers() {
        let error = CpuGroupError::InUse { group: "g".into(), processes: (1..=6).collect(), cgroups: 2 };
        let expected = "CPU group g is in use by 6 process(es) (1, 2, 3, 4, …) and 2 cgroup(s): \
                        unbind or stop the systems in it first";
        assert_eq!(error.to_string(), expected);
        let error = CpuGroupError::UnknownProperty { code: 0x40000 };
        assert!(error.to_string().contains("0x00040000"), "{error}");
    }
}

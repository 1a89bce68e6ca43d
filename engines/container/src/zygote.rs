//! A worker before it has a container: what it makes of itself, and how it becomes two.

use std::os::fd::OwnedFd;

use hcs_core::Error;

use crate::{
    seccomp,
    sys::{self, Clone},
};

/// Which of the two this is.
#[derive(Debug)]
pub enum Twin {
    /// The one that was there, and what stands for the other.
    Old(OwnedFd),
    /// The one that was made.
    New,
}

/// What holds for every worker, and what its children in a container rely on.
pub fn prepare() -> Result<(), Error> {
    // A child that has entered a container is seen by the processes there. Until it execs it must not be traced: it
    // has the worker's memory and its descriptors.
    sys::forbid_tracing()
        .map_err(|errno| Error::from_errno(errno.raw_os_error(), "protecting the worker's memory"))?;
    // Whoever started the service may have ignored some, which an exec does not change.
    sys::reset_signals(sys::every_signal());
    sys::ignore_broken_pipes();
    // Compiled here, it is there in every copy.
    seccomp::usual().map(|_| ())
}

/// Makes a copy of this process, which must have one thread and no container. Both have the same parent, who waits
/// for both.
///
/// A program that is exec'd spends most of its first half millisecond on questions that have the same answer each
/// time, above all on what the processor can do: on a virtual machine each such question leaves it. A copy of a
/// worker that has them answered takes a quarter of that.
pub fn twin() -> Result<Twin, Error> {
    match sys::clone_sibling() {
        Ok(Clone::Parent { pidfd }) => Ok(Twin::Old(pidfd)),
        Ok(Clone::Child) => Ok(Twin::New),
        Err(errno) => Err(Error::from_errno(errno.raw_os_error(), "copying the worker")),
    }
}

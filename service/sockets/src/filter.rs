//! The system calls that are left: those of sockets that it has and makes, and of the memory that it is given. Others fail.

use hcs_container::seccomp::{Comparison, Condition, leave_only};
use hcs_core::Error;
use rustix::net::AddressFamily;

/// What the crate asks for.
const CONVERSATIONS: &[&str] = &[
    "accept4",
    "clock_gettime",
    "close",
    "connect",
    "fcntl",
    "fstat",
    "poll",
    "ppoll",
    "read",
    "recvmsg",
    "shutdown",
    "write",
];
/// Sockets of files alone: nothing of the host or of other guests is in reach by those.
const SOCKETS: &str = "socket";

/// Puts this process under the filter, for ever.
pub fn enter() -> Result<(), Error> {
    let of_files = Comparison::Equal(u64::from(AddressFamily::UNIX.as_raw()));
    leave_only(&[CONVERSATIONS], &[(SOCKETS, Condition { argument: 0, comparison: of_files })])
}

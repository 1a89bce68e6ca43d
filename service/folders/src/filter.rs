//! The system calls that are left to the server: those of files that it has, of sockets that it has, and none that begins
//! anything else. Others fail.

use hcs_container::seccomp::leave_only;
use hcs_core::Error;

/// What the crate asks for.
const FILES: &[&str] = &[
    "close",
    "dup",
    "fchmodat",
    "fchmodat2",
    "fchownat",
    "fcntl",
    "fdatasync",
    "fstat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "getdents64",
    "linkat",
    "lseek",
    "mkdirat",
    "mknodat",
    "newfstatat",
    "openat",
    "openat2",
    "pread64",
    "pwrite64",
    "readlinkat",
    "renameat2",
    "statx",
    "symlinkat",
    "unlinkat",
    "utimensat",
];
/// Who something belongs to when it is made.
const OWNERS: &[&str] = &["capget", "capset", "geteuid", "getegid", "setfsgid", "setfsuid"];
const CONVERSATIONS: &[&str] = &["accept4", "poll", "ppoll", "read", "write"];

/// Puts this process under the filter, for ever.
pub fn enter() -> Result<(), Error> {
    leave_only(&[FILES, OWNERS, CONVERSATIONS], &[])
}

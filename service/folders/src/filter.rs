//! The system calls that are left to the server: those of files that it has, of sockets that it has, and none that begins
//! anything else. Others fail.

use hcs_container::seccomp::{Action, Architecture, Profile, Rule, compile};
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
const CONVERSATIONS: &[&str] = &["accept4", "poll", "ppoll", "read", "shutdown", "write"];
/// What the language and the C library need, up to the end of the process.
const MEMORY: &[&str] = &[
    "brk",
    "exit",
    "exit_group",
    "futex",
    "gettid",
    "getpid",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "tgkill",
    "writev",
];

/// Puts this process under the filter, for ever.
pub fn enter() -> Result<(), Error> {
    let calls = [FILES, OWNERS, CONVERSATIONS, MEMORY].concat();
    let profile = Profile {
        default: Action::Errno(rustix::io::Errno::PERM.raw_os_error() as u16),
        architectures: vec![Architecture::NATIVE],
        rules: vec![Rule { calls, action: Action::Allow, conditions: Vec::new() }],
        flags: 0,
    };
    let program = compile(&profile)?;
    program.load().map_err(|errno| Error::from_errno(errno.raw_os_error(), "limiting system calls"))
}

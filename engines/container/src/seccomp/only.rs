//! A filter for a process of ours that has everything it needs: it is left the calls of its work, and those without which no
//! program goes on or ends. Others fail.

use hcs_core::Error;

use super::{Action, Architecture, Condition, Profile, Rule, compile};

/// What the language and the C library need, up to the end of the process.
const ALWAYS: &[&str] = &[
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

/// Leaves this process these calls, for ever, and others under a condition.
pub fn leave_only(calls: &[&[&'static str]], some: &[(&'static str, Condition)]) -> Result<(), Error> {
    let calls = [&calls.concat()[..], ALWAYS].concat();
    let allow = |calls, conditions| Rule { calls, action: Action::Allow, conditions };
    let some = some.iter().map(|(call, condition)| allow(vec![*call], vec![*condition]));
    let profile = Profile {
        default: Action::Errno(rustix::io::Errno::PERM.raw_os_error() as u16),
        architectures: vec![Architecture::NATIVE],
        rules: some.chain([allow(calls, Vec::new())]).collect(),
        flags: 0,
    };
    let program = compile(&profile)?;
    program.load().map_err(|errno| Error::from_errno(errno.raw_os_error(), "limiting system calls"))
}

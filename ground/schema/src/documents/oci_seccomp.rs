//! Linux addition: the `linux.seccomp` object of an OCI runtime specification.
//!
//! Read by the container engine. Names, types and meaning are those of the OCI runtime specification 1.2.

use crate::macros::{choices, documents};

documents! {
    /// A filter of system calls.
    pub struct OciSeccomp {
        /// What becomes of calls that no rule is about.
        "defaultAction" oci default_action: OciSeccompAction => required,
        /// With which error such a call fails.
        "defaultErrnoRet" oci default_errno_ret: u32,
        /// The kinds of calls that the rules are about, beside the processor's own.
        "architectures" oci architectures: Vec<String>,
        /// Flags of the system call `seccomp`.
        "flags" oci flags: Vec<OciSeccompFlag>,
        /// The socket of whoever decides about calls.
        "listenerPath" oci listener_path: String,
        /// What is told to whoever decides.
        "listenerMetadata" oci listener_metadata: String,
        /// The rules.
        "syscalls" oci syscalls: Vec<OciSyscallRule>,
    }

    /// What becomes of some system calls.
    pub struct OciSyscallRule {
        /// Their names.
        "names" oci names: Vec<String> => required,
        /// What becomes of them.
        "action" oci action: OciSeccompAction => required,
        /// With which error they fail.
        "errnoRet" oci errno_ret: u32,
        /// Conditions on their arguments, which must all hold.
        "args" oci args: Vec<OciSyscallArgument>,
    }

    /// A condition on an argument.
    pub struct OciSyscallArgument {
        /// Which argument, from 0.
        "index" oci index: u32 => required,
        /// What it is compared with.
        "value" oci value: u64 => required,
        /// With SCMP_CMP_MASKED_EQ: what the bits in `value` are.
        "valueTwo" oci value_two: u64,
        /// How it is compared.
        "op" oci op: OciSeccompOperator => required,
    }
}

choices! {
    /// What becomes of a system call.
    pub enum OciSeccompAction {
        oci:
            Kill = "SCMP_ACT_KILL", KillProcess = "SCMP_ACT_KILL_PROCESS",
            KillThread = "SCMP_ACT_KILL_THREAD", Trap = "SCMP_ACT_TRAP", Errno = "SCMP_ACT_ERRNO",
            Trace = "SCMP_ACT_TRACE", Allow = "SCMP_ACT_ALLOW", Log = "SCMP_ACT_LOG",
            Notify = "SCMP_ACT_NOTIFY";
    }

    /// How an argument is compared.
    pub enum OciSeccompOperator {
        oci:
            NotEqual = "SCMP_CMP_NE", Less = "SCMP_CMP_LT", LessOrEqual = "SCMP_CMP_LE",
            Equal = "SCMP_CMP_EQ", GreaterOrEqual = "SCMP_CMP_GE", Greater = "SCMP_CMP_GT",
            MaskedEqual = "SCMP_CMP_MASKED_EQ";
    }

    /// A flag of a filter.
    pub enum OciSeccompFlag {
        oci:
            Synchronise = "SECCOMP_FILTER_FLAG_TSYNC", Log = "SECCOMP_FILTER_FLAG_LOG",
            AllowSpeculation = "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            WaitKillable = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
    }
}

//! What a filter is to do, by names of system calls.

use super::Architecture;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is made.
    Allow,
    /// It is made and logged.
    Log,
    /// It fails with this error.
    Errno(u16),
    /// Its thread gets SIGSYS with this value.
    Trap(u16),
    /// A tracer is told, with this value; without one the call fails with ENOSYS.
    Trace(u16),
    /// Its thread dies.
    KillThread,
    /// Its process dies.
    KillProcess,
}

impl Action {
    /// What a filter returns for it (`SECCOMP_RET_…`).
    pub(super) fn code(self) -> u32 {
        match self {
            Action::Allow => 0x7FFF_0000,
            Action::Log => 0x7FFC_0000,
            Action::Trace(value) => 0x7FF0_0000 | u32::from(value),
            Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Action::Trap(value) => 0x0003_0000 | u32::from(value),
            Action::KillThread => 0,
            Action::KillProcess => 0x8000_0000,
        }
    }

    /// Whether a call goes on, perhaps with somebody watching.
    pub(super) fn lets_through(self) -> bool {
        matches!(self, Action::Allow | Action::Log | Action::Trace(_))
    }
}

/// How an argument is compared; all values are unsigned and have 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It is this value.
    Equal(u64),
    /// It is another value.
    NotEqual(u64),
    /// It is smaller.
    Less(u64),
    /// It is smaller or this value.
    LessOrEqual(u64),
    /// It is greater.
    Greater(u64),
    /// It is greater or this value.
    GreaterOrEqual(u64),
    /// Its bits below the mask are this value.
    MaskedEqual {
        /// The bits that count.
        mask: u64,
        /// What they are.
        value: u64,
    },
}

/// A condition on one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub argument: u8,
    /// What is true of it.
    pub comparison: Comparison,
}

/// What becomes of some calls under some conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule<'a> {
    /// Names of calls. An architecture that lacks one takes no notice of it.
    pub calls: Vec<&'a str>,
    /// What becomes of them.
    pub action: Action,
    /// Holds if all of these do; empty is always.
    pub conditions: Vec<Condition>,
}

/// A whole filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile<'a> {
    /// What becomes of calls that no rule is about.
    pub default: Action,
    /// The kinds of calls that the rules are about. A process that makes any other is killed.
    pub architectures: Vec<Architecture>,
    /// For one call: the first rule with conditions that hold, else the one without. See [`super::compile`]
    /// for what contradicts.
    pub rules: Vec<Rule<'a>>,
    /// Flags of the system call `seccomp`.
    pub flags: u32,
}

//! Rules in plain data: what becomes of a system call.

use std::collections::BTreeMap;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Allow,
    /// It fails with this number.
    Errno(u16),
    /// Everything of the process dies.
    #[cfg_attr(not(test), allow(dead_code, reason = "profiles of documents name it; the default does not"))]
    KillProcess,
}

impl Action {
    /// The kernel's number for it.
    pub fn value(self) -> u32 {
        match self {
            Action::Allow => libc::SECCOMP_RET_ALLOW,
            Action::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Action::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
}

/// How an argument is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// It is this.
    Equal(u64),
    /// It is not this.
    NotEqual(u64),
    /// None of these bits is set.
    NoneOf(u64),
}

impl Test {
    /// Whether an argument passes; what the compiled program must agree with.
    #[cfg(test)]
    pub fn passes(self, argument: u64) -> bool {
        match self {
            Test::Equal(value) => argument == value,
            Test::NotEqual(value) => argument != value,
            Test::NoneOf(bits) => argument & bits == 0,
        }
    }
}

/// A test of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, from 0.
    pub argument: u8,
    /// What it must be.
    pub test: Test,
}

/// What becomes of one call: the action of the first alternative whose conditions all hold, else `otherwise`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Conditions and what they lead to. No condition always holds.
    pub alternatives: Vec<(Vec<Condition>, Action)>,
    /// What happens if no alternative holds.
    pub otherwise: Action,
}

impl Rule {
    /// Always the same.
    pub fn always(action: Action) -> Rule {
        Rule { alternatives: Vec::new(), otherwise: action }
    }
}

/// What becomes of every call of this architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Of calls by their numbers.
    pub by_number: BTreeMap<u32, Rule>,
    /// Of all others.
    pub otherwise: Action,
    /// Of calls of another architecture or number space.
    pub foreign: Action,
}

impl Rules {
    /// What happens to a call; what the compiled program must agree with.
    #[cfg(test)]
    pub fn action(&self, number: u32, arguments: &[u64; 6]) -> Action {
        let Some(rule) = self.by_number.get(&number) else { return self.otherwise };
        let holds = |condition: &Condition| condition.test.passes(arguments[usize::from(condition.argument)]);
        rule.alternatives
            .iter()
            .find(|(conditions, _)| conditions.iter().all(holds))
            .map_or(rule.otherwise, |(_, action)| *action)
    }
}

//! Classic BPF as the kernel runs it, for the tests.

use std::collections::{BTreeMap, BTreeSet};

use super::{Architecture, Program, calls, profile::*};

/// A call as a filter sees it.
#[derive(Clone, Copy)]
struct Call {
    number: u32,
    architecture: u32,
    arguments: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.architecture,
            16..64 if offset.is_multiple_of(4) => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                (if offset.is_multiple_of(8) { argument } else { argument >> 32 }) as u32
            }
            _ => panic!("the kernel refuses to load from {offset}"),
        }
    }
}

/// Runs a program; what it returns and how many instructions that took.
fn run(program: &Program, call: &Call) -> (u32, usize) {
    let (mut accumulator, mut at, mut steps) = (0u32, 0, 0);
    loop {
        let instruction = program.instructions[at];
        let value = instruction.k;
        at += 1;
        steps += 1;
        let holds = match instruction.code {
            0x20 => {
                accumulator = call.word(value);
                continue;
            }
            0x54 => {
                accumulator &= value;
                continue;
            }
            0x05 => {
                at += value as usize;
                continue;
            }
            0x06 => return (value, steps),
            0x15 => accumulator == value,
            0x25 => accumulator > value,
            0x35 => accumulator >= value,
            code => panic!("no instruction has the code {code:#x}"),
        };
        at += usize::from(if holds { instruction.jt } else { instruction.jf });
    }
}

fn holds(condition: Condition, arguments: [u64; 6]) -> bool {
    let argument = arguments[usize::from(condition.argument)];
    match condition.comparison {
        Comparison::Equal(value) => argument == value,
        Comparison::NotEqual(value) => argument != value,
        Comparison::Less(value) => argument < value,
        Comparison::LessOrEqual(value) => argument <= value,
        Comparison::Greater(value) => argument > value,
        Comparison::GreaterOrEqual(value) => argument >= value,
        Comparison::MaskedEqual { mask, value } => argument & mask == value,
    }
}

/// What a profile says about one architecture, worked out in the plainest way.
struct Plain<'a> {
    default: Action,
    by_number: BTreeMap<u32, Vec<&'a Rule<'a>>>,
    private: u32,
}

impl<'a> Plain<'a> {
    fn new(profile: &'a Profile<'a>, architecture: Architecture) -> Plain<'a> {
        let mut by_number: BTreeMap<u32, Vec<&Rule<'_>>> = BTreeMap::new();
        for rule in &profile.rules {
            for number in rule.calls.iter().filter_map(|name| calls::number(name, architecture)) {
                by_number.entry(number).or_default().push(rule);
            }
        }
        Plain { default: profile.default, by_number, private: architecture.first_private_number() }
    }

    fn rules(&self, number: u32) -> &[&'a Rule<'a>] {
        self.by_number.get(&number).map_or(&[], Vec::as_slice)
    }

    fn expected(&self, call: &Call) -> Action {
        let met = |rule: &&&Rule<'_>| rule.conditions.iter().all(|one| holds(*one, call.arguments));
        let rules = self.rules(call.number);
        if let Some(rule) = rules.iter().filter(|rule| !rule.conditions.is_empty()).find(met) {
            return rule.action;
        }
        if let Some(rule) = rules.iter().find(|rule| rule.conditions.is_empty()) {
            return rule.action;
        }
        let newest = self.by_number.keys().copied().filter(|number| *number < self.private).max();
        let grown = newest.is_some_and(|newest| newest < call.number) && call.number < self.private;
        if grown && !self.default.lets_through() { Action::Errno(libc::ENOSYS as u16) } else { self.default }
    }
}

/// Values around everything that the profile compares with, and a few more.
fn interesting(profile: &Profile<'_>) -> Vec<u64> {
    let mut values = vec![0, 1, 40, 1 << 31, 1 << 32, (1 << 32) + 2, u64::MAX];
    for condition in profile.rules.iter().flat_map(|rule| &rule.conditions) {
        let value = match condition.comparison {
            Comparison::MaskedEqual { mask, value } => {
                values.extend([value, mask, value | !mask, mask | 1 << 63]);
                values.extend((0..64).map(|bit| 1 << bit));
                value
            }
            Comparison::Equal(value)
            | Comparison::NotEqual(value)
            | Comparison::Less(value)
            | Comparison::LessOrEqual(value)
            | Comparison::Greater(value)
            | Comparison::GreaterOrEqual(value) => value,
        };
        values.extend([value.wrapping_sub(1), value, value.wrapping_add(1), value | 1 << 32, value << 32]);
    }
    values.sort_unstable();
    values.dedup();
    values
}

/// Holds a compiled profile against the profile, for every number and every interesting argument. The most
/// instructions that a call takes whose arguments are not looked at.
pub fn prove(profile: &Profile<'_>) -> usize {
    let program = super::compile(profile).unwrap();
    let values = interesting(profile);
    let mut longest = 0;
    for architecture in Architecture::NATIVE.family() {
        let plain = Plain::new(profile, *architecture);
        let covered = profile.architectures.contains(architecture);
        let check = |call: &Call| {
            let wanted = if covered { plain.expected(call) } else { Action::KillProcess };
            let (returned, steps) = run(&program, call);
            assert_eq!(returned, wanted.code(), "{architecture:?} {} {:?}", call.number, call.arguments);
            steps
        };
        let private = (0x000F_0000..0x000F_0010).chain([0x3FFF_FFFF]);
        for number in (0..=600).chain(private).map(|number| architecture.first_number() + number) {
            let call = Call { number, architecture: architecture.audit_number(), arguments: [0; 6] };
            let conditions = || plain.rules(number).iter().flat_map(|rule| &rule.conditions);
            if conditions().next().is_none() {
                longest = longest.max(check(&call));
                check(&Call { arguments: [u64::MAX; 6], ..call });
            }
            let arguments: BTreeSet<u8> = conditions().map(|condition| condition.argument).collect();
            for argument in arguments {
                for value in &values {
                    for others in [0, u64::MAX, *value] {
                        let mut call = Call { arguments: [others; 6], ..call };
                        call.arguments[usize::from(argument)] = *value;
                        check(&call);
                    }
                }
            }
        }
    }
    for foreign in [0, 0xC000_00F3, 0x8000_0008, u32::MAX] {
        let call = Call { number: 0, architecture: foreign, arguments: [0; 6] };
        assert_eq!(run(&program, &call).0, Action::KillProcess.code(), "architecture {foreign:#x}");
    }
    longest
}

mod tests {
    use rustix::thread::CapabilitySet;

    use super::*;
    use crate::{confinement::CAPABILITIES, seccomp::default_profile};

    #[test]
    fn the_default_filter_does_what_its_table_says_and_is_short() {
        let longest = prove(&default_profile(CAPABILITIES));
        let program = crate::seccomp::compile(&default_profile(CAPABILITIES)).unwrap();
        println!("{} instructions, at most {longest} for a call", program.length());
        assert!(longest <= 20, "a call takes {longest} instructions");
        assert!(program.length() <= 450, "{} instructions", program.length());
    }

    #[test]
    fn the_default_filter_of_a_privileged_container_does_what_its_table_says() {
        prove(&default_profile(CapabilitySet::all()));
        prove(&default_profile(CapabilitySet::empty()));
    }

    fn number(name: &str) -> u32 {
        calls::number(name, Architecture::NATIVE).unwrap()
    }

    fn verdict(program: &Program, name: &str, first: u64) -> u32 {
        let architecture = Architecture::NATIVE.audit_number();
        run(program, &Call { number: number(name), architecture, arguments: [first, 0, 0, 0, 0, 0] }).0
    }

    #[test]
    fn the_default_filter_refuses_what_docker_refuses() {
        let program = crate::seccomp::compile(&default_profile(CAPABILITIES)).unwrap();
        let (allowed, refused) = (Action::Allow.code(), Action::Errno(libc::EPERM as u16).code());
        for name in
            ["mount", "unshare", "setns", "keyctl", "add_key", "bpf", "kexec_load", "reboot", "swapon"]
        {
            assert_eq!(verdict(&program, name, 0), refused, "{name}");
        }
        for name in ["io_uring_setup", "userfaultfd", "perf_event_open", "open_by_handle_at", "init_module"] {
            assert_eq!(verdict(&program, name, 0), refused, "{name}");
        }
        for name in ["read", "execve", "ptrace", "chroot", "mknodat", "futex"] {
            assert_eq!(verdict(&program, name, 0), allowed, "{name}");
        }
        assert_eq!(verdict(&program, "clone3", 0), Action::Errno(libc::ENOSYS as u16).code());
        assert_eq!(verdict(&program, "clone", libc::SIGCHLD as u64), allowed);
        assert_eq!(verdict(&program, "clone", libc::CLONE_NEWUSER as u64), refused);
        assert_eq!(verdict(&program, "socket", libc::AF_INET as u64), allowed);
        assert_eq!(verdict(&program, "socket", libc::AF_VSOCK as u64), refused);
        assert_eq!(verdict(&program, "socket", libc::AF_ALG as u64), refused);
        assert_eq!(verdict(&program, "personality", 0xFFFF_FFFF), allowed);
        assert_eq!(verdict(&program, "personality", 0x0040_0000), refused);
    }

    fn rule<'a>(calls: &[&'a str], action: Action, conditions: &[(u8, Comparison)]) -> Rule<'a> {
        let condition = |(argument, comparison): &(u8, Comparison)| Condition {
            argument: *argument,
            comparison: *comparison,
        };
        Rule { calls: calls.to_vec(), action, conditions: conditions.iter().map(condition).collect() }
    }

    #[test]
    fn every_operator_action_and_default_is_compiled_faithfully() {
        use Comparison::*;
        let big = 0x0000_0005_0000_0007;
        let mut rules = Vec::new();
        let actions = [
            Action::Allow,
            Action::Log,
            Action::Errno(2),
            Action::Trap(3),
            Action::Trace(4),
            Action::KillThread,
        ];
        let comparisons = [
            Equal(big),
            NotEqual(big),
            Less(big),
            LessOrEqual(big),
            Greater(big),
            GreaterOrEqual(big),
            MaskedEqual { mask: 0xFF00_0000_00FF, value: 0x0100_0000_0003 },
            MaskedEqual { mask: 0xFF, value: 0x100 },
            Equal(u64::MAX),
            Less(0),
            Greater(u64::MAX),
        ];
        let names = [
            "read", "write", "close", "fstat", "lseek", "mmap", "mprotect", "munmap", "brk", "ioctl",
            "pread64",
        ];
        for (index, (name, comparison)) in names.iter().zip(comparisons).enumerate() {
            let argument = (index % 6) as u8;
            rules.push(rule(&[name], actions[index % 6], &[(argument, comparison)]));
            rules.push(rule(&[name], actions[(index + 1) % 6], &[(5, Equal(9)), (0, Less(big + 1))]));
        }
        // One argument against many values: the search.
        for value in [0, 3, 4, 9, u64::from(u32::MAX)] {
            rules.push(rule(&["socket"], Action::Allow, &[(0, Equal(value))]));
            rules.push(rule(&["dup3"], Action::Errno(7), &[(2, Equal(value))]));
        }
        for comparison in [Less(40), GreaterOrEqual(100), Equal(50)] {
            rules.push(rule(&["listen"], Action::Allow, &[(1, comparison)]));
        }
        // … and those that do not fit it.
        for comparison in [Less(40), Equal(1 << 40), Equal(u64::MAX)] {
            rules.push(rule(&["bind"], Action::Allow, &[(1, comparison)]));
        }
        for default in [Action::Errno(1), Action::Allow, Action::KillProcess, Action::Log] {
            for architectures in [Architecture::NATIVE.family().to_vec(), vec![Architecture::NATIVE]] {
                prove(&Profile { default, architectures, rules: rules.clone(), flags: 0 });
            }
        }
    }

    #[test]
    fn rules_that_contradict_each_other_are_refused() {
        let rules = vec![rule(&["mount"], Action::Allow, &[]), rule(&["mount"], Action::Errno(1), &[])];
        let profile =
            Profile { default: Action::Allow, architectures: vec![Architecture::NATIVE], rules, flags: 0 };
        let error = crate::seccomp::compile(&profile).unwrap_err();
        assert_eq!(error.cause, hcs_core::Cause::InvalidData);
        assert!(error.detail.contains("mount"));
    }
}

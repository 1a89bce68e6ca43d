//! Rules become a program: a binary search for the range that a call's number is in, and at the end of the search
//! the tests of its arguments, if it has any.

use libc::sock_filter;

use super::{
    assembler::{Assembler, Compare, Label},
    rules::{Condition, Rule, Rules, Test},
};

/// A compiled filter.
#[derive(Clone)]
pub struct Program(Vec<sock_filter>);

impl Program {
    /// Its instructions, as the kernel takes them.
    pub fn instructions(&self) -> &[sock_filter] {
        &self.0
    }
}

/// Offsets in the kernel's `seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// `AUDIT_ARCH_…` of the architecture that this is built for.
#[cfg(target_arch = "x86_64")]
pub const OWN_ARCHITECTURE: u32 = 0xC000_003E;
/// `AUDIT_ARCH_…` of the architecture that this is built for.
#[cfg(target_arch = "aarch64")]
pub const OWN_ARCHITECTURE: u32 = 0xC000_00B7;

/// Numbers from here on are of another number space (x32), or of no call at all.
pub const FOREIGN_NUMBERS: u32 = 0x4000_0000;

/// Numbers from `first` on, up to the next range, share a rule.
struct Range {
    first: u32,
    rule: Rule,
}

/// Compiles rules.
pub fn compile(rules: &Rules) -> Program {
    let mut assembler = Assembler::default();
    let (own, foreign, known) = (assembler.label(), assembler.label(), assembler.label());
    assembler.load(ARCHITECTURE);
    assembler.branch(Compare::Equal, OWN_ARCHITECTURE, own, foreign);
    assembler.place(own);
    assembler.load(NUMBER);
    assembler.branch(Compare::AtLeast, FOREIGN_NUMBERS, foreign, known);
    assembler.place(foreign);
    assembler.end(rules.foreign.value());
    assembler.place(known);
    search(&mut assembler, &ranges(rules));
    Program(assembler.finish())
}

/// The number space in ranges of the same rule, without gaps.
fn ranges(rules: &Rules) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    let mut add = |first: u32, rule: Rule| {
        if ranges.last().is_none_or(|last| last.rule != rule) {
            ranges.push(Range { first, rule });
        }
    };
    let mut next = 0;
    for (number, rule) in &rules.by_number {
        if *number > next {
            add(next, Rule::always(rules.otherwise));
        }
        add(*number, rule.clone());
        next = number + 1;
    }
    add(next, Rule::always(rules.otherwise));
    ranges
}

fn search(assembler: &mut Assembler, ranges: &[Range]) {
    match ranges {
        [] => {}
        [range] => decide(assembler, &range.rule),
        _ => {
            let (lower, upper) = ranges.split_at(ranges.len() / 2);
            let (below, above) = (assembler.label(), assembler.label());
            assembler.branch(Compare::AtLeast, upper[0].first, above, below);
            assembler.place(below);
            search(assembler, lower);
            assembler.place(above);
            search(assembler, upper);
        }
    }
}

fn decide(assembler: &mut Assembler, rule: &Rule) {
    for (conditions, action) in &rule.alternatives {
        let next = assembler.label();
        for condition in conditions {
            test(assembler, condition, next);
        }
        assembler.end(action.value());
        assembler.place(next);
    }
    assembler.end(rule.otherwise.value());
}

/// Goes on if the condition holds, else to `fails`. Arguments have 64 bits, the machine 32.
fn test(assembler: &mut Assembler, condition: &Condition, fails: Label) {
    let low = ARGUMENTS + 8 * u32::from(condition.argument);
    let high = low + 4;
    let holds = assembler.label();
    match condition.test {
        Test::Equal(value) => {
            let half = assembler.label();
            assembler.load(high);
            assembler.branch(Compare::Equal, (value >> 32) as u32, half, fails);
            assembler.place(half);
            assembler.load(low);
            assembler.branch(Compare::Equal, value as u32, holds, fails);
        }
        Test::NotEqual(value) => {
            let half = assembler.label();
            assembler.load(high);
            assembler.branch(Compare::Equal, (value >> 32) as u32, half, holds);
            assembler.place(half);
            assembler.load(low);
            assembler.branch(Compare::Equal, value as u32, fails, holds);
        }
        Test::NoneOf(bits) => {
            let half = assembler.label();
            assembler.load(high);
            assembler.keep((bits >> 32) as u32);
            assembler.branch(Compare::Equal, 0, half, fails);
            assembler.place(half);
            assembler.load(low);
            assembler.keep(bits as u32);
            assembler.branch(Compare::Equal, 0, holds, fails);
        }
    }
    assembler.place(holds);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use libc::{BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};

    use super::*;
    use crate::seccomp::{profile, rules::Action};

    /// A machine for classic BPF that shares nothing with the assembler but the instruction's layout.
    fn run(program: &[sock_filter], architecture: u32, number: u32, arguments: &[u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(number.to_le_bytes());
        data.extend(architecture.to_le_bytes());
        data.extend(0u64.to_le_bytes());
        arguments.iter().for_each(|argument| data.extend(argument.to_le_bytes()));
        let (mut at, mut value) = (0, 0u32);
        loop {
            let instruction = program[at];
            at += 1;
            let k = instruction.k;
            match u32::from(instruction.code) {
                code if code == BPF_LD | BPF_W | BPF_ABS => {
                    value = u32::from_le_bytes(data[k as usize..][..4].try_into().unwrap());
                }
                code if code == BPF_ALU | BPF_AND | BPF_K => value &= k,
                code if code == BPF_JMP | BPF_JA => at += k as usize,
                code if code == BPF_JMP | BPF_JEQ | BPF_K => {
                    at += usize::from(if value == k { instruction.jt } else { instruction.jf });
                }
                code if code == BPF_JMP | BPF_JGE | BPF_K => {
                    at += usize::from(if value >= k { instruction.jt } else { instruction.jf });
                }
                code if code == BPF_RET | BPF_K => return k,
                code => panic!("instruction {code:#x}"),
            }
        }
    }

    /// Values that the tests of the default profile tell apart, and their neighbours.
    fn arguments() -> Vec<[u64; 6]> {
        let interesting = [
            0,
            1,
            8,
            39,
            40,
            41,
            0x20000,
            0x20008,
            0x7E02_0000,
            0x1000_0000,
            0x0002_0000,
            0x8000_0000,
            0xFFFF_FFFF,
            0x1_0000_0000,
            0x1_0000_0008,
            u64::MAX,
        ];
        let mut all: Vec<[u64; 6]> = interesting.iter().map(|value| [*value; 6]).collect();
        all.extend(interesting.iter().map(|value| [*value, 0, 0, 0, 0, 0]));
        all.extend(interesting.iter().map(|value| [0, *value, 0, 0, 0, 0]));
        all
    }

    fn agrees(rules: &Rules, numbers: impl Iterator<Item = u32>) {
        let program = compile(rules);
        for number in numbers {
            for arguments in arguments() {
                assert_eq!(
                    run(program.instructions(), OWN_ARCHITECTURE, number, &arguments),
                    rules.action(number, &arguments).value(),
                    "call {number} with {arguments:x?}"
                );
            }
        }
    }

    #[test]
    fn the_default_filter_does_what_the_profile_says_for_every_number() {
        agrees(&profile::default(), (0..1200).chain([5000, FOREIGN_NUMBERS - 1]));
    }

    #[test]
    fn other_architectures_and_number_spaces_are_refused() {
        let rules = profile::default();
        let program = compile(&rules);
        for (architecture, number) in [
            (0x4000_0003, 1),
            (0x4000_0028, 1),
            (0, 0),
            (OWN_ARCHITECTURE, FOREIGN_NUMBERS),
            (OWN_ARCHITECTURE, u32::MAX),
        ] {
            let verdict = run(program.instructions(), architecture, number, &[0; 6]);
            assert_eq!(verdict, Action::Errno(libc::ENOSYS as u16).value(), "{architecture:#x} {number:#x}");
        }
    }

    #[test]
    fn branches_reach_places_that_are_far() {
        // Every second number has a test of all arguments: a program of many thousands of instructions.
        let conditions: Vec<Condition> = (0..6)
            .map(|argument| Condition { argument, test: Test::Equal(u64::from(argument) << 33 | 8) })
            .collect();
        let rule = Rule {
            alternatives: vec![
                (conditions.clone(), Action::KillProcess),
                (conditions[..1].to_vec(), Action::Allow),
            ],
            otherwise: Action::Errno(7),
        };
        let by_number: BTreeMap<u32, Rule> = (0..200).map(|number| (number * 2, rule.clone())).collect();
        let rules = Rules { by_number, otherwise: Action::Errno(1), foreign: Action::KillProcess };
        assert!(compile(&rules).instructions().len() > 4 * 255);
        agrees(&rules, 0..500);
    }

    #[test]
    fn the_default_filter_is_small() {
        let length = compile(&profile::default()).instructions().len();
        println!("{length} instructions");
        assert!(length < 350, "{length} instructions");
    }
}

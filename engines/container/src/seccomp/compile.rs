//! From a profile to a program: once for each container, when it is planned, as the worker has no tables.

use std::collections::BTreeMap;

use hcs_core::{Cause, Error};

use super::{
    Architecture, Program,
    architecture::X32_BIT,
    assembler::{Assembler, Target, Test},
    calls,
    conditions::{self, Alternatives},
    profile::{Action, Profile, Rule},
    program::LONGEST,
};

/// Where the number of the call and the architecture are in what a filter is told.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// Compiles a profile for the kernel's own architecture. Rules that say different things about one call without
/// looking at its arguments contradict each other, and so does a rule with conditions that are overridden by one
/// without; which of them would count is not the same in all engines, so neither is guessed.
pub fn compile(profile: &Profile<'_>) -> Result<Program, Error> {
    let mut assembler = Assembler::default();
    let mut blocks = Blocks::default();
    let mut target = Target::Return(Action::KillProcess.code());
    // Written back to front: the native architecture, which is what nearly every call is, is looked for first.
    let family = Architecture::NATIVE.family();
    let mut numbers: Vec<u32> = family.iter().map(|architecture| architecture.audit_number()).collect();
    numbers.dedup();
    numbers.sort_unstable_by_key(|number| *number == Architecture::NATIVE.audit_number());
    numbers.dedup();
    for number in numbers {
        let covered =
            |one: &&Architecture| one.audit_number() == number && profile.architectures.contains(one);
        let covered: Vec<Architecture> = family.iter().filter(covered).copied().collect();
        if covered.is_empty() {
            continue;
        }
        let mut steps = Vec::new();
        for architecture in [Architecture::NATIVE, Architecture::X32, Architecture::X86, Architecture::Arm] {
            if covered.contains(&architecture) {
                steps.extend(steps_of(profile, architecture, &mut assembler, &mut blocks)?);
            }
        }
        close_gaps(&mut steps, number);
        let search = conditions::search(&mut assembler, &steps);
        let search = assembler.load(NUMBER, search);
        target = assembler.branch(Test::Equal(number), search, target);
    }
    assembler.load(ARCHITECTURE, target);
    let instructions = assembler.finish();
    if instructions.len() > LONGEST {
        return Err(Error::new(
            Cause::InvalidData,
            format!("the filter has {} instructions, and the kernel takes {LONGEST}", instructions.len()),
        )
        .hint("Merge rules that compare arguments."));
    }
    Ok(Program { flags: profile.flags, instructions })
}

/// x86-64 and x32 share a number space; a process of the one that is not covered is killed.
fn close_gaps(steps: &mut Vec<(u32, Target)>, audit_number: u32) {
    let kill = Target::Return(Action::KillProcess.code());
    if audit_number == Architecture::X86_64.audit_number() {
        if steps.iter().all(|(start, _)| *start < X32_BIT) {
            steps.push((X32_BIT, kill));
        }
        if steps.first().is_none_or(|(start, _)| *start > 0) {
            steps.insert(0, (0, kill));
        }
    }
    steps.dedup_by(|later, earlier| later.1 == earlier.1);
}

/// Tests of arguments that are written already; the same ones serve all architectures.
type Blocks = BTreeMap<String, (Alternatives, Target)>;

/// What becomes of the numbers of one architecture, as steps of a search.
fn steps_of(
    profile: &Profile<'_>,
    architecture: Architecture,
    assembler: &mut Assembler,
    blocks: &mut Blocks,
) -> Result<Vec<(u32, Target)>, Error> {
    let mut by_number: BTreeMap<u32, Verdict> = BTreeMap::new();
    for rule in &profile.rules {
        for name in &rule.calls {
            if let Some(number) = calls::number(name, architecture) {
                by_number.entry(number).or_insert_with(|| Verdict::new(name)).add(rule)?;
            }
        }
    }
    let default = Target::Return(profile.default.code());
    let mut steps = vec![(architecture.first_number(), default)];
    let newest = by_number.keys().copied().rfind(|number| *number < architecture.first_private_number());
    // Calls that came after the profile was written: a program that tries one must hear that it is not there, or
    // it does not fall back to what came before it.
    let not_there = Target::Return(Action::Errno(libc::ENOSYS as u16).code());
    let unknown = if profile.default.lets_through() { default } else { not_there };
    for (number, verdict) in by_number {
        let after = if Some(number) >= newest && number < architecture.first_private_number() {
            unknown
        } else {
            default
        };
        steps.push((number, verdict.target(profile.default, assembler, blocks)));
        steps.push((number + 1, after));
    }
    if let Some(private) = steps.iter().position(|step| step.0 >= architecture.first_private_number()) {
        steps.insert(private, (architecture.first_private_number(), default));
    }
    // Of two steps at one place the later one counts.
    let mut clean: Vec<(u32, Target)> = Vec::with_capacity(steps.len());
    for step in steps {
        match clean.last_mut() {
            Some(last) if last.0 == step.0 => *last = step,
            Some(last) if last.1 == step.1 => {}
            _ => clean.push(step),
        }
    }
    clean.dedup_by(|later, earlier| later.1 == earlier.1);
    Ok(clean)
}

/// What the rules say about one call.
struct Verdict {
    name: String,
    always: Option<Action>,
    sometimes: Alternatives,
}

impl Verdict {
    fn new(name: &str) -> Verdict {
        Verdict { name: name.to_owned(), always: None, sometimes: Vec::new() }
    }

    fn add(&mut self, rule: &Rule<'_>) -> Result<(), Error> {
        if rule.conditions.is_empty() {
            if self.always.is_some_and(|action| action != rule.action) {
                return Err(self.contradiction());
            }
            self.always = Some(rule.action);
        } else {
            self.sometimes.push((rule.conditions.clone(), rule.action));
        }
        match self.always {
            Some(action) if self.sometimes.iter().any(|one| one.1 != action) => Err(self.contradiction()),
            _ => Ok(()),
        }
    }

    fn contradiction(&self) -> Error {
        Error::new(
            Cause::InvalidData,
            format!("found rules for the system call {} that contradict each other", self.name),
        )
        .hint("Keep one rule without conditions for a call, or rules with conditions only.")
    }

    fn target(self, default: Action, assembler: &mut Assembler, blocks: &mut Blocks) -> Target {
        if let Some(action) = self.always {
            return Target::Return(action.code());
        }
        if let Some((alternatives, target)) = blocks.get(&self.name)
            && *alternatives == self.sometimes
        {
            return *target;
        }
        let target = conditions::write(assembler, &self.sometimes, default);
        blocks.insert(self.name, (self.sometimes, target));
        target
    }
}

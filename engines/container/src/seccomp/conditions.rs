//! The part of a filter that looks at arguments.

use super::{
    assembler::{Assembler, Target, Test},
    profile::{Action, Comparison, Condition},
};

/// What becomes of one call, depending on its arguments: the first that holds counts.
pub type Alternatives = Vec<(Vec<Condition>, Action)>;

/// Where the low and the high half of an argument are in what the filter is told. Both processors that there are
/// tables for store the low half first.
fn halves(argument: u8) -> (u32, u32) {
    let low = 16 + 8 * u32::from(argument);
    (low, low + 4)
}

/// Writes the test of all alternatives, with `otherwise` for when none holds.
pub fn write(assembler: &mut Assembler, alternatives: &Alternatives, otherwise: Action) -> Target {
    if let Some(target) = write_search(assembler, alternatives, otherwise) {
        return target;
    }
    let mut next = Target::Return(otherwise.code());
    for (conditions, action) in alternatives.iter().rev() {
        let mut holds = Target::Return(action.code());
        for condition in conditions.iter().rev() {
            holds = write_condition(assembler, *condition, holds, next);
        }
        next = holds;
    }
    next
}

fn write_condition(assembler: &mut Assembler, condition: Condition, yes: Target, no: Target) -> Target {
    let (low, high) = halves(condition.argument);
    let split = |value: u64| (value as u32, (value >> 32) as u32);
    match condition.comparison {
        Comparison::Equal(value) => write_equal(assembler, condition.argument, u64::MAX, value, yes, no),
        Comparison::NotEqual(value) => write_equal(assembler, condition.argument, u64::MAX, value, no, yes),
        Comparison::MaskedEqual { mask, value } => {
            write_equal(assembler, condition.argument, mask, value, yes, no)
        }
        Comparison::Less(value) => {
            let inverse = Condition { comparison: Comparison::GreaterOrEqual(value), ..condition };
            write_condition(assembler, inverse, no, yes)
        }
        Comparison::LessOrEqual(value) => {
            let inverse = Condition { comparison: Comparison::Greater(value), ..condition };
            write_condition(assembler, inverse, no, yes)
        }
        Comparison::Greater(value) | Comparison::GreaterOrEqual(value) => {
            let (value_low, value_high) = split(value);
            let test = match condition.comparison {
                Comparison::Greater(_) => Test::Greater(value_low),
                _ => Test::AtLeast(value_low),
            };
            let of_low = assembler.branch(test, yes, no);
            let of_low = assembler.load(low, of_low);
            let of_equal_high = assembler.branch(Test::Equal(value_high), of_low, no);
            let of_high = assembler.branch(Test::Greater(value_high), yes, of_equal_high);
            assembler.load(high, of_high)
        }
    }
}

fn write_equal(
    assembler: &mut Assembler,
    argument: u8,
    mask: u64,
    value: u64,
    yes: Target,
    no: Target,
) -> Target {
    let (low, high) = halves(argument);
    let mut target = yes;
    for (offset, shift) in [(low, 0), (high, 32)] {
        let (mask, value) = ((mask >> shift) as u32, (value >> shift) as u32);
        // A half of which no bit counts needs no look, unless it could never be what is wanted.
        if mask == 0 && value == 0 {
            continue;
        }
        target = assembler.branch(Test::Equal(value), target, no);
        if mask != u32::MAX {
            target = assembler.mask(mask, target);
        }
        target = assembler.load(offset, target);
    }
    target
}

/// The usual case, one argument against many values with one outcome, as a search instead of a chain: a profile
/// that allows forty families of sockets would otherwise look forty times.
fn write_search(assembler: &mut Assembler, alternatives: &Alternatives, otherwise: Action) -> Option<Target> {
    let (first, action) = alternatives.first()?;
    let argument = first.first()?.argument;
    let mut ranges = Vec::new();
    for (conditions, other) in alternatives {
        let [Condition { argument: one, comparison }] = conditions.as_slice() else { return None };
        if *one != argument || other != action {
            return None;
        }
        ranges.extend(ranges_of(*comparison)?);
    }
    let outcome = |value: u64| {
        let holds = ranges.iter().any(|(from, to)| (*from..=*to).contains(&value));
        Target::Return(if holds { action.code() } else { otherwise.code() })
    };
    const LOW: u64 = u32::MAX as u64;
    // Above the low half nothing may change, so that one look at the high half is enough.
    let changes: Vec<u64> = ranges
        .iter()
        .flat_map(|(from, to)| [Some(*from), to.checked_add(1)])
        .flatten()
        .filter(|value| *value > 0)
        .collect();
    if alternatives.len() < 2 || changes.iter().any(|value| *value > LOW + 1) {
        return None;
    }
    let mut starts: Vec<u32> = changes.into_iter().filter_map(|value| u32::try_from(value).ok()).collect();
    starts.push(0);
    starts.sort_unstable();
    starts.dedup();
    let steps: Vec<(u32, Target)> =
        starts.into_iter().map(|start| (start, outcome(u64::from(start)))).collect();
    let (low, high) = halves(argument);
    let of_low = search(assembler, &steps);
    let of_low = assembler.load(low, of_low);
    let of_high = assembler.branch(Test::Equal(0), of_low, outcome(LOW + 1));
    Some(assembler.load(high, of_high))
}

fn ranges_of(comparison: Comparison) -> Option<Vec<(u64, u64)>> {
    Some(match comparison {
        Comparison::Equal(value) => vec![(value, value)],
        Comparison::NotEqual(value) => {
            let below = value.checked_sub(1).map(|last| (0, last));
            let above = value.checked_add(1).map(|first| (first, u64::MAX));
            below.into_iter().chain(above).collect()
        }
        Comparison::Less(value) => value.checked_sub(1).map(|last| (0, last)).into_iter().collect(),
        Comparison::LessOrEqual(value) => vec![(0, value)],
        Comparison::Greater(value) => {
            value.checked_add(1).map(|first| (first, u64::MAX)).into_iter().collect()
        }
        Comparison::GreaterOrEqual(value) => vec![(value, u64::MAX)],
        Comparison::MaskedEqual { .. } => return None,
    })
}

/// Writes a binary search of the loaded word; each step counts from its value on, and the first is 0.
pub fn search(assembler: &mut Assembler, steps: &[(u32, Target)]) -> Target {
    match steps {
        [] => Target::Return(Action::KillProcess.code()),
        [(_, target)] => *target,
        _ => {
            let (below, above) = steps.split_at(steps.len() / 2);
            let if_above = search(assembler, above);
            let if_below = search(assembler, below);
            assembler.branch(Test::AtLeast(above[0].0), if_above, if_below)
        }
    }
}

//! What is promised: every promise of the project once, with its figure and what holds it.
//!
//! A measurement looks its promise up here by its id and says with that what it has measured; SPECIFICATION.md is written from
//! here. So no figure stands twice, and there is no promise that nothing holds.

mod density;
mod latency;
mod limits;
mod memory;
mod recovery;
mod sizes;

use std::fmt;

use crate::{Outcome, units::Unit};

/// A promise.
pub struct Promise {
    /// Short, and the same for ever: what was measured is kept under it.
    pub id: &'static str,
    /// What is promised, without the figure.
    pub text: &'static str,
    /// What holds it.
    pub held: Held,
}

/// What holds a promise.
pub enum Held {
    /// A measurement of this name notes figures for it.
    Measured { by: &'static str, limit: Limit },
    /// A test that fails if it is not kept: `file::name` of an end-to-end test, or the path of a file before the name.
    Tested { by: &'static str, figure: &'static str },
}

/// How far a measured figure may go.
#[derive(Clone, Copy)]
pub enum Limit {
    /// So many times what it is measured beside, at most.
    Times(f64),
    /// This share of the speed of what it is measured beside, at least.
    Speed(f64),
    /// So much, at most.
    AtMost(f64, Unit),
}

/// Promises of one kind.
pub struct Group {
    /// The heading.
    pub name: &'static str,
    /// They.
    pub promises: &'static [Promise],
}

/// All.
pub const GROUPS: &[Group] = &[
    Group { name: "Latency", promises: latency::PROMISES },
    Group { name: "Memory", promises: memory::PROMISES },
    Group { name: "Density", promises: density::PROMISES },
    Group { name: "Recovery", promises: recovery::PROMISES },
    Group { name: "Sizes", promises: sizes::PROMISES },
    Group { name: "Limits", promises: limits::PROMISES },
];

/// All promises, in their order.
pub fn all() -> impl Iterator<Item = &'static Promise> {
    GROUPS.iter().flat_map(|group| group.promises)
}

/// How far the figure of a promise may go. A promise that no measurement holds is an error.
pub fn limit(id: &str) -> Outcome<Limit> {
    match all().find(|promise| promise.id == id).map(|promise| &promise.held) {
        Some(Held::Measured { limit, .. }) => Ok(*limit),
        _ => Err(format!("promises.rs has no measured promise {id}").into()),
    }
}

/// A promise that a measurement holds.
const fn measured(id: &'static str, text: &'static str, by: &'static str, limit: Limit) -> Promise {
    Promise { id, text, held: Held::Measured { by, limit } }
}

/// A promise that a test holds.
const fn tested(id: &'static str, text: &'static str, figure: &'static str, by: &'static str) -> Promise {
    Promise { id, text, held: Held::Tested { by, figure } }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Times(times) => write!(f, "at most {times} times"),
            Limit::Speed(share) => write!(f, "at least {share} of the speed"),
            Limit::AtMost(value, unit) => write!(f, "at most {}", unit.tell(*value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;
    use crate::{MEASUREMENTS, facts};

    #[test]
    fn no_id_is_used_twice() {
        let mut seen = BTreeSet::new();
        let twice: Vec<_> = all().map(|promise| promise.id).filter(|id| !seen.insert(*id)).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    #[test]
    fn what_is_measured_is_so_by_a_measurement_that_is_there() {
        for promise in all() {
            if let Held::Measured { by, .. } = promise.held {
                assert!(MEASUREMENTS.iter().any(|one| one.name == by), "{}: {by}", promise.id);
            }
        }
    }

    #[test]
    fn a_measurement_names_promises_that_are_there() {
        let folder = facts::root().join("tools/bench/src/measurements");
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let text = if path.is_file() { fs::read_to_string(&path).unwrap() } else { String::new() };
            for named in text.split("promised(\"").skip(1) {
                let id = named.split('"').next().unwrap();
                assert!(limit(id).is_ok(), "{}: {id}", path.display());
            }
        }
    }
}

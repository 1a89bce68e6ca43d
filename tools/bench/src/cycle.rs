//! The life of a container: made, started, a process run in it to its end, all removed.

use crate::{
    Outcome,
    contest::{self, Contest, Promise},
};

/// Lives at once.
const AT_ONCE: usize = 64;

const PROMISES: &[Promise] =
    &[Promise { other: "crun", at_most: 0.4 }, Promise { other: "floor", at_most: 2.0 }];

/// Measures, where every peer works.
pub fn measure() -> Outcome {
    contest::run_apart("cycle-apart")
}

/// The measurement.
pub fn measure_apart() -> Outcome {
    let mut contest = Contest::gather()?;
    contest.measure("container cycle", PROMISES, |one| one.cycle())?;
    let took = contest.ours().cycles_at_once(AT_ONCE)?;
    println!("\n{AT_ONCE} of our cycles at once, without an error: {:.1} ms", took.as_secs_f64() * 1e3);
    contest.verdict()
}

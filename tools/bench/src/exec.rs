//! A process in a container that is there, from the call to its exit status.

use crate::{
    Outcome,
    contest::{self, Contest, Promise},
};

const PROMISES: &[Promise] = &[Promise { other: "crun", at_most: 0.2 }];

/// Measures, where every peer works.
pub fn measure() -> Outcome {
    contest::run_apart("exec-apart")
}

/// The measurement.
pub fn measure_apart() -> Outcome {
    let mut contest = Contest::gather()?;
    contest.measure("process in a container", PROMISES, |one| one.exec())?;
    contest.verdict()
}

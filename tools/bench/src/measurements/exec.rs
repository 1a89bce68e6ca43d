//! A process in a container that is there, from the call to its exit status.

use crate::{Outcome, contest::Contest, report::Report};

/// Measures.
pub fn measure(report: &mut Report) -> Outcome {
    Contest::gather(report)?.measure(report, "process", |one| one.exec())
}

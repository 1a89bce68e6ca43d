//! The life of a container: made, started, a process run in it to its end, all removed.

use crate::{Outcome, contest::Contest, figures::Figure, report::Report};

/// Lives at once.
const AT_ONCE: usize = 64;

/// Measures.
pub fn measure(report: &mut Report) -> Outcome {
    let mut contest = Contest::gather(report)?;
    contest.measure(report, "life", |one| one.cycle())?;
    let took = contest.lives().at_once(AT_ONCE)?;
    report.note(Figure::new(format!("{AT_ONCE} lives at once, without an error"), took));
    Ok(())
}

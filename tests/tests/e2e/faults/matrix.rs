//! The matrix: steps down, what went wrong across.

use std::fmt::Write;

use super::cell::{Outcome, Victim, Wrong};

/// The name of a column, and what belongs there.
type Column = (&'static str, fn(&Wrong) -> bool);

/// What goes wrong, as columns.
const COLUMNS: &[Column] = &[
    ("hcsd", |wrong| *wrong == Wrong::Kill(Victim::Service)),
    ("worker", |wrong| *wrong == Wrong::Kill(Victim::Worker)),
    ("inside", |wrong| *wrong == Wrong::Kill(Victim::Inside)),
    ("spare", |wrong| *wrong == Wrong::Kill(Victim::Spare)),
    ("client", |wrong| *wrong == Wrong::Kill(Victim::Client)),
    ("device", |wrong| *wrong == Wrong::Kill(Victim::Device)),
    ("agent", |wrong| *wrong == Wrong::Kill(Victim::Agent)),
    ("once", |wrong| matches!(wrong, Wrong::FailOnce(_))),
    ("ever", |wrong| matches!(wrong, Wrong::FailForEver(_))),
    ("delay", |wrong| *wrong == Wrong::Delay),
    ("cut", |wrong| *wrong == Wrong::Cut),
];

struct Cell {
    operation: &'static str,
    step: String,
    wrong: Wrong,
    outcome: Outcome,
}

/// The cells that have been tried.
#[derive(Default)]
pub struct Matrix(Vec<Cell>);

impl Matrix {
    /// Adds one.
    pub fn add(&mut self, operation: &'static str, step: String, wrong: Wrong, outcome: Outcome) {
        self.0.push(Cell { operation, step, wrong, outcome });
    }

    /// How many there are.
    pub fn cells(&self) -> usize {
        self.0.len()
    }

    /// How many were not come to.
    pub fn not_reached(&self) -> usize {
        self.0.iter().filter(|cell| cell.outcome == Outcome::NotReached).count()
    }

    /// What did not hold.
    pub fn broken(&self) -> Vec<String> {
        let broken = self.0.iter().filter_map(|cell| match &cell.outcome {
            Outcome::Broken(what) => {
                Some(format!("{} · {} · {}: {what}", cell.operation, cell.step, cell.wrong))
            }
            _ => None,
        });
        broken.collect()
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut row = (String::new(), String::new());
        for (at, cell) in self.0.iter().enumerate() {
            if cell.operation != row.0 {
                let _ = write!(text, "\n{:<100}", cell.operation);
                for (name, _) in COLUMNS {
                    let _ = write!(text, "{name:>7}");
                }
                text.push('\n');
            }
            if (cell.operation, cell.step.as_str()) == (row.0.as_str(), row.1.as_str()) {
                continue;
            }
            row = (cell.operation.to_owned(), cell.step.clone());
            let _ = write!(text, "  {:<98}", cell.step);
            let cells = self.0[at..].iter().take_while(|one| one.operation == row.0 && one.step == row.1);
            let cells: Vec<&Cell> = cells.collect();
            for (_, belongs) in COLUMNS {
                let here = cells.iter().filter(|cell| belongs(&cell.wrong)).map(|cell| &cell.outcome);
                let _ = write!(text, "{:>7}", worst(here));
            }
            text.push('\n');
        }
        text
    }

    /// How operations ended, by what went wrong, and how often.
    pub fn summary(&self) -> String {
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        for cell in &self.0 {
            let what = match &cell.outcome {
                Outcome::Held(told) => told,
                Outcome::NotReached => "·",
                Outcome::Nobody => "-",
                Outcome::Broken(_) => "BROKEN",
            };
            *counts
                .entry(format!("{:<10} {:<45} {what}", cell.operation, cell.wrong.to_string()))
                .or_default() += 1;
        }
        counts.iter().map(|(what, count)| format!("{count:>5} {what}\n")).collect()
    }
}

/// One sign for several cells.
fn worst<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> &'static str {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Nobody => (0, "-"),
        Outcome::Held(_) => (1, "ok"),
        Outcome::NotReached => (2, "·"),
        Outcome::Broken(_) => (3, "BROKEN"),
    };
    outcomes.map(rank).max().map_or("", |(_, sign)| sign)
}

//! The matrix: steps down, what went wrong across. It can be kept in a file while it grows, so that a run that takes hours is
//! had in pieces.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::Path,
};

use super::cell::{Outcome, Wrong};

/// The name of a column, and how what belongs there begins.
const COLUMNS: &[(&str, &str)] = &[
    ("hcsd", "kill Service"),
    ("worker", "kill Worker"),
    ("inside", "kill Inside"),
    ("spare", "kill Spare"),
    ("client", "kill Client"),
    ("device", "kill Device"),
    ("agent", "kill Agent"),
    ("once", "once"),
    ("ever", "for ever"),
    ("delay", "delay"),
    ("cut", "cut"),
];

/// A cell that was tried.
struct Cell {
    operation: String,
    step: String,
    wrong: String,
    outcome: Outcome,
}

impl Cell {
    fn name(&self) -> String {
        name(&self.operation, &self.step, &self.wrong)
    }

    /// A line of the file.
    fn line(&self) -> String {
        let (kind, text) = match &self.outcome {
            Outcome::Held(text) => ("held", text.as_str()),
            Outcome::NotReached => ("not reached", ""),
            Outcome::Nobody => ("nobody", ""),
            Outcome::Broken(text) => ("broken", text.as_str()),
        };
        serde_json::to_string(&[self.operation.as_str(), &self.step, &self.wrong, kind, text]).unwrap()
    }

    fn from_line(line: &str) -> Cell {
        let [operation, step, wrong, kind, text]: [String; 5] = serde_json::from_str(line).unwrap();
        let outcome = match kind.as_str() {
            "held" => Outcome::Held(text),
            "not reached" => Outcome::NotReached,
            "nobody" => Outcome::Nobody,
            _ => Outcome::Broken(text),
        };
        Cell { operation, step, wrong, outcome }
    }
}

/// What a cell is called.
pub fn name(operation: &str, step: &str, wrong: &str) -> String {
    format!("{operation} · {step} · {wrong}")
}

/// The cells that have been tried.
#[derive(Default)]
pub struct Matrix {
    cells: Vec<Cell>,
    file: Option<File>,
    /// What earlier runs have tried. It is not tried again, unless it did not hold.
    tried: HashSet<String>,
}

impl Matrix {
    /// One that is kept in this file, with what is in there.
    pub fn kept_in(path: &Path) -> Matrix {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text.unwrap(),
        };
        // What did not hold is tried again, and noted once more.
        let held = |cell: &Cell| !matches!(cell.outcome, Outcome::Broken(_));
        let cells: Vec<Cell> = text.lines().map(Cell::from_line).filter(held).collect();
        let tried = cells.iter().map(Cell::name).collect();
        let file = File::options().create(true).append(true).open(path).unwrap();
        Matrix { cells, file: Some(file), tried }
    }

    /// Whether it has been tried by an earlier run, and held.
    pub fn has(&self, name: &str) -> bool {
        self.tried.contains(name)
    }

    /// Adds one.
    pub fn add(&mut self, operation: &str, step: String, wrong: Wrong, outcome: Outcome) {
        let cell = Cell { operation: operation.to_owned(), step, wrong: wrong.to_string(), outcome };
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", cell.line()).unwrap();
        }
        self.cells.push(cell);
    }

    /// How many there are.
    pub fn cells(&self) -> usize {
        self.cells.len()
    }

    /// How many were not come to.
    pub fn not_reached(&self) -> usize {
        self.cells.iter().filter(|cell| cell.outcome == Outcome::NotReached).count()
    }

    /// What did not hold.
    pub fn broken(&self) -> Vec<String> {
        let broken = self.cells.iter().filter_map(|cell| match &cell.outcome {
            Outcome::Broken(what) => Some(format!("{}: {what}", cell.name())),
            _ => None,
        });
        broken.collect()
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for operation in in_order(self.cells.iter().map(|cell| cell.operation.as_str())) {
            let _ = write!(text, "\n{operation:<100}");
            for (name, _) in COLUMNS {
                let _ = write!(text, "{name:>7}");
            }
            text.push('\n');
            let of_operation: Vec<&Cell> =
                self.cells.iter().filter(|cell| cell.operation == operation).collect();
            for step in in_order(of_operation.iter().map(|cell| cell.step.as_str())) {
                let _ = write!(text, "  {step:<98}");
                for (_, begins) in COLUMNS {
                    let here = of_operation
                        .iter()
                        .filter(|cell| cell.step == step && cell.wrong.starts_with(begins));
                    let _ = write!(text, "{:>7}", worst(here.map(|cell| &cell.outcome)));
                }
                text.push('\n');
            }
        }
        text
    }

    /// How operations ended, by what went wrong, and how often.
    pub fn summary(&self) -> String {
        let mut counts = BTreeMap::<String, usize>::new();
        for cell in &self.cells {
            let what = match &cell.outcome {
                Outcome::Held(told) => told,
                Outcome::NotReached => "·",
                Outcome::Nobody => "-",
                Outcome::Broken(_) => "BROKEN",
            };
            *counts.entry(format!("{:<10} {:<45} {what}", cell.operation, cell.wrong)).or_default() += 1;
        }
        counts.iter().map(|(what, count)| format!("{count:>5} {what}\n")).collect()
    }

    /// How many cells each operation has, and what became of them.
    pub fn counts(&self) -> String {
        let mut text = format!(
            "{:<26}{:>8}{:>8}{:>12}{:>8}{:>8}\n",
            "", "cells", "held", "not reached", "nobody", "broken"
        );
        for operation in in_order(self.cells.iter().map(|cell| cell.operation.as_str())) {
            let count = |is: fn(&Outcome) -> bool| {
                self.cells.iter().filter(|cell| cell.operation == operation && is(&cell.outcome)).count()
            };
            let _ = writeln!(
                text,
                "{operation:<26}{:>8}{:>8}{:>12}{:>8}{:>8}",
                count(|_| true),
                count(|outcome| matches!(outcome, Outcome::Held(_))),
                count(|outcome| *outcome == Outcome::NotReached),
                count(|outcome| *outcome == Outcome::Nobody),
                count(|outcome| matches!(outcome, Outcome::Broken(_))),
            );
        }
        text
    }
}

/// Each of them once, as they come first.
fn in_order<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    all.filter(|one| seen.insert(*one)).collect()
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

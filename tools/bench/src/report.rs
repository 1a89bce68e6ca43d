//! What a measurement says: told to people as it comes, kept in a file for programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{
    Outcome,
    facts::{self, Machine},
    figures::Figure,
};

/// One run of one measurement.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Its name.
    pub measurement: String,
    /// The commit that the tree was at; with a plus if it was changed.
    pub commit: String,
    /// Where.
    pub machine: Machine,
    /// How many tasks of others wanted a processor when it began: 0 on a quiet machine.
    pub others_running: f64,
    /// The programs that ours was measured beside, and which they are.
    pub peers: BTreeMap<String, String>,
    /// Those that were left out, and why.
    pub absent: BTreeMap<String, String>,
    /// What was found.
    pub figures: Vec<Figure>,
}

impl Report {
    /// Nothing yet.
    pub fn begin(measurement: &str) -> Report {
        println!("{}", Figure::heading());
        Report {
            measurement: measurement.to_owned(),
            commit: facts::commit(),
            machine: facts::machine(),
            others_running: facts::others_running(),
            peers: BTreeMap::new(),
            absent: BTreeMap::new(),
            figures: Vec::new(),
        }
    }

    /// Notes a figure.
    pub fn note(&mut self, figure: Figure) {
        println!("{figure}");
        self.figures.push(figure);
    }

    /// Whether a program of others is there. Either is noted.
    pub fn has(&mut self, program: impl AsRef<Path>) -> bool {
        let program = program.as_ref();
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        match facts::version(program) {
            Some(version) => drop(self.peers.insert(name.to_string(), version)),
            None => self.is_absent(&name, "not installed"),
        }
        self.peers.contains_key(&*name)
    }

    /// Notes that something is left out.
    pub fn is_absent(&mut self, peer: &str, why: &str) {
        println!("{peer} is left out: {why}");
        self.absent.insert(peer.to_owned(), why.to_owned());
    }

    /// The promises that it does not keep.
    pub fn broken(&self) -> BTreeSet<&str> {
        let verdicts = self.figures.iter().filter_map(|figure| figure.promise.as_ref());
        verdicts.filter(|verdict| !verdict.is_kept).map(|verdict| verdict.id.as_str()).collect()
    }

    /// Writes it to a file.
    pub fn write(&self, to: &Path) -> Outcome {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(to, text).map_err(|error| format!("{}: {error}", to.display()).into())
    }

    /// Reads it from a file.
    pub fn read(from: &Path) -> Outcome<Report> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", from.display());
        let text = fs::read_to_string(from).map_err(|error| failed(&error))?;
        serde_json::from_str(&text).map_err(|error| failed(&error).into())
    }
}

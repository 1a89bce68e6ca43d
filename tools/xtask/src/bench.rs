//! `cargo xtask bench`: installs what is measured beside, builds the programs, and has `hcs-bench` measure them. What cannot be
//! installed is left out, and said to be.
//!
//! Everything that is known of promises and figures is in `tools/bench`: this only runs it.

use std::path::Path;

use crate::{
    Outcome,
    command::Line,
    install::{self, Purpose},
    machines,
    workspace::Workspace,
};

const BUILD: &str = "cargo build --release --workspace --locked --quiet";
const BUILD_BENCH: &str = "cargo build --locked --quiet -p hcs-bench";

/// Measures: everything, or what is named. Files go to target/bench.
pub fn run(words: &[&str]) -> Outcome {
    let workspace = prepare()?;
    let into = workspace.target.join("bench").display().to_string();
    hcs_bench(&workspace, &workspace.release(), &["run", "--into", &into], words)
}

/// Judges two builds.
pub fn compare(words: &[&str]) -> Outcome {
    let workspace = prepare()?;
    hcs_bench(&workspace, &workspace.release(), &["compare"], words)
}

/// Writes the tables of SPECIFICATION.md from the promises and what was measured last.
pub fn specification() -> Outcome {
    let workspace = Workspace::load()?;
    Line::of(BUILD_BENCH).run(&workspace.root)?;
    hcs_bench(&workspace, &workspace.target.join("debug"), &["specification"], &[])
}

fn prepare() -> Outcome<Workspace> {
    let workspace = Workspace::load()?;
    // Without them there is less to measure beside.
    for outcome in [install::run(Purpose::Bench), machines::run(false)] {
        if let Err(error) = outcome {
            eprintln!("{error}");
        }
    }
    Line::of(BUILD).run(&workspace.root)?;
    Ok(workspace)
}

fn hcs_bench(workspace: &Workspace, programs: &Path, verb: &[&str], rest: &[&str]) -> Outcome {
    let program = programs.join("hcs-bench").display().to_string();
    Line::new([&[program.as_str()], verb, rest].concat()).run(&workspace.root)
}

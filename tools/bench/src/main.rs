//! Measures what the project promises about its speed, its memory and its sizes, beside a peer and in the same run: machines
//! differ and drift, ratios stay. `cargo xtask bench` runs it.
//!
//! `promises.rs` has every promise with its figure; `measurements/` a file for each measurement, which notes figures in a
//! report; the rest is what they measure beside, and what is done with reports: `run.rs` does several, `compare/` judges two
//! builds, `specification.rs` writes SPECIFICATION.md.

mod apart;
mod bare;
mod bundle;
mod compare;
mod containerd;
mod contest;
mod echo;
mod facts;
mod figures;
mod floor;
mod library;
mod lives;
mod load;
mod measurements;
mod ours;
mod placement;
mod promises;
mod report;
mod resident;
mod run;
mod runtime;
mod samples;
mod service;
mod specification;
mod units;
mod usage;

use std::{env, process::ExitCode};

use self::{
    measurements::{MEASUREMENTS, Measurement},
    report::Report,
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["run", rest @ ..] => run::run(rest),
        ["compare", rest @ ..] => compare::run(rest),
        ["specification"] => specification::write(),
        // What it starts itself.
        ["apart", name, rest @ ..] => find(name).and_then(|one| measure(one, rest)),
        ["call-with-library", folder, placement] => {
            measurements::call::with_library(folder.as_ref(), placement)
        }
        ["compute", processor] => load::compute(processor),
        ["echo", socket, request, reply] => echo::serve(socket, request, reply),
        ["subject", name] => compare::subject::serve(name),
        [name, rest @ ..] if rest.is_empty() || matches!(rest, ["--json", _]) => find(name)
            .and_then(|one| if one.is_apart { apart::again(name, rest) } else { measure(one, rest) }),
        _ => Err(usage().into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hcs-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does a measurement and writes what it has found to the file that is asked for. A promise that is not kept is an error.
fn measure(one: &Measurement, rest: &[&str]) -> Outcome {
    let mut report = Report::begin(one.name);
    (one.measure)(&mut report)?;
    if let ["--json", file] = rest {
        report.write(file.as_ref())?;
    }
    let broken: Vec<&str> = report.broken().into_iter().collect();
    match broken.is_empty() {
        true => Ok(()),
        false => Err(format!("promises that are not kept: {}", broken.join(", ")).into()),
    }
}

/// The measurement of a name.
fn find(name: &str) -> Outcome<&'static Measurement> {
    MEASUREMENTS.iter().find(|one| one.name == name).ok_or_else(|| usage().into())
}

fn usage() -> String {
    let measurements: String =
        MEASUREMENTS.iter().map(|one| format!("\n  {:<10} {}", one.name, one.about)).collect();
    format!(
        "usage:
  hcs-bench MEASUREMENT [--json FILE]
  hcs-bench run [--into FOLDER] [--keep] [--known] [MEASUREMENT…]
  hcs-bench compare FOLDER FOLDER [--machines] [--seed N] [--json FILE] [SUBJECT…]
  hcs-bench specification\n{measurements}"
    )
}

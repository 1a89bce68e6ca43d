//! Measures what the project promises about its speed, beside a peer and in the same run: machines differ and
//! drift, ratios stay.
//!
//! `hcs-bench cycle` — the life of a container and a process in one, against crun, runc and youki.
//! `hcs-bench many` — 500 idle containers: memory, and whether the last is made as quickly as the first.
//! `hcs-bench call` — a call that does nothing, through the C library, against a bare Unix socket echo of the
//! same bytes. More measurements become more files here.

mod bundle;
mod call;
mod contestants;
mod cycle;
mod echo;
mod figures;
mod library;
mod many;
mod placement;
mod service;
mod usage;

use std::{env, process::ExitCode};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["cycle"] => cycle::measure(),
        ["cycle-inside"] => cycle::measure_inside(),
        ["many"] => many::measure(500),
        ["many", count] => count.parse().map_err(Into::into).and_then(many::measure),
        ["call"] => call::measure("inf"),
        ["call", "--at-most", ratio] => call::measure(ratio),
        ["call-with-library", folder, placement, ratio] => {
            call::measure_with_library(folder.as_ref(), placement, ratio)
        }
        ["echo", socket, request, reply] => echo::serve(socket, request, reply),
        _ => Err("usage: hcs-bench cycle | many [COUNT] | call [--at-most RATIO]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hcs-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

//! `cargo xtask`: what is done with this tree, one verb per file.
//!
//! Every verb is a plain sequence of commands that can also be typed by hand; a verb that fails names the one to
//! repeat. The standard library and a JSON reader are all it needs, because it is the first thing that a fresh
//! machine builds.
#![forbid(unsafe_code)]

mod bench;
mod book;
mod command;
mod coverage;
mod demo;
#[cfg(test)]
mod folder;
mod fuzz;
mod host;
mod install;
mod machines;
mod package;
mod reference;
mod rows;
mod schema;
mod test;
mod workspace;

use std::process::ExitCode;

/// What a verb returns; the error is one or more lines for people.
type Outcome<T = ()> = Result<T, String>;

const USAGE: &str = "\
cargo xtask <verb>

  demo             install what is missing, build, show containers, machines and a device, remove it all
  test [--full]    install what the tests need, run all of them; --full adds the long ones
  bench [--keep] [--known] [MEASUREMENT…]
                   measure what is promised, beside peers; --keep writes the figures and SPECIFICATION.md;
                   with --known what that says is not kept is no failure
  bench --compare FOLDER FOLDER [--machines] [--seed N] [--json FILE] [SUBJECT…]
                   judge two builds by their programs
  specification    write the tables of SPECIFICATION.md from the promises and what was measured last
  install [--demo] install what the tests (or only what the demo) need
  coverage [--end-to-end [FILTER]] count the lines of each crate that the tests go through; --counted tells
                                   again what was counted last
  fuzz SECONDS     feed each reader of foreign bytes with mutations for so long
  machines [--relock] fetch what the tests of virtual machines need
  package [--no-build | --development] make the Debian packages, in target/debian
  rows             check that every crate depends only on the rows that its row allows
  schema           write ground/schema/hcs.schema.json from the types
  reference        write the reference of the documentation from headers, types and programs
  book             check that the documentation holds together, and build it";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["demo"] => demo::run(),
        ["test"] => test::run(false),
        ["test", "--full"] => test::run(true),
        ["bench", "--compare", rest @ ..] => bench::compare(rest),
        ["bench", rest @ ..] => bench::run(rest),
        ["specification"] => bench::specification(),
        ["install"] => install::run(install::Purpose::Test),
        ["install", "--demo"] => install::run(install::Purpose::Demo),
        ["coverage"] => coverage::run(coverage::Tests::Unit),
        ["coverage", "--end-to-end"] => coverage::run(coverage::Tests::EndToEnd("")),
        ["coverage", "--end-to-end", filter] => coverage::run(coverage::Tests::EndToEnd(filter)),
        ["coverage", "--counted"] => coverage::run(coverage::Tests::None),
        ["fuzz", seconds] => fuzz::run(seconds),
        ["machines"] => machines::run(false),
        ["machines", "--relock"] => machines::run(true),
        ["package"] => package::run(package::Programs::Release),
        ["package", "--no-build"] => package::run(package::Programs::Built),
        ["package", "--development"] => package::run(package::Programs::Development),
        ["rows"] => rows::run(),
        ["schema"] => schema::write(),
        ["reference"] => reference::write(),
        ["book"] => book::run(),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        other => Err(format!("there is no verb `{}`\n\n{USAGE}", other.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

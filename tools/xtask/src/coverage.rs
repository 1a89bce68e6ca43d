//! `cargo xtask coverage`: how many lines of each crate the tests go through.
//!
//! The compiler counts, in a target folder of its own. What reads its counts must be of the same LLVM, so the tools are asked
//! of the toolchain first and of the system then. With `--end-to-end` the shipped programs count too: their counts lie in files
//! that they share with the kernel, because most of them end by a signal. Those of the agent in a machine are brought out by
//! the tests (`tests/src/counts.rs`).
//!
//! Tests that stand in a file beside the code are not counted, and neither are files of tests.

mod lines;
mod tools;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{Outcome, command::Line, workspace::Workspace};
use lines::Lines;
use tools::Tools;

/// What makes programs count, also those that are killed.
const FLAGS: &str = "-Cinstrument-coverage -Cllvm-args=-runtime-counter-relocation --cfg coverage";
/// One file of counts per program, in which all its processes count together and all the time.
const COUNTS: &str = "%c%m.profraw";
/// What the end-to-end tests run.
const PROGRAMS: &str = "-p hcsd -p hcs-worker -p hcs-guest -p hcs-cli -p computecore -p hcs-pull";

/// Which tests are run.
pub enum Tests<'a> {
    /// Those without root.
    Unit,
    /// End-to-end tests too: those of a filter, an empty one is all.
    EndToEnd(&'a str),
    /// None: what was counted last is told again, or what tests have counted since that were run by hand.
    None,
}

/// Runs the tests and prints the table.
pub fn run(tests: Tests) -> Outcome {
    let workspace = Workspace::load()?;
    let tools = Tools::find(&workspace)?;
    let folder = workspace.target.join("coverage");
    let counts = folder.join("counts");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let built = folder.join(&triple).join("debug");
    let line = |text: &str| {
        Line::of(&format!("{text} --locked --target {triple}"))
            .with("RUSTFLAGS", FLAGS.as_ref())
            .with("CARGO_TARGET_DIR", &folder)
            .with("CARGO_PROFILE_DEV_DEBUG", "0".as_ref())
            .with("LLVM_PROFILE_FILE", &counts.join(COUNTS))
    };
    let mut runs = Vec::new();
    if !matches!(tests, Tests::None) {
        remake(&counts)?;
        runs.push(line("cargo test --workspace --no-fail-fast"));
    }
    if let Tests::EndToEnd(filter) = tests {
        line(&format!("cargo build {PROGRAMS}")).run(&workspace.root)?;
        let tests = line("cargo test --workspace --test e2e --no-fail-fast").with("HCS_BIN_DIR", &built);
        // Who compares times does so alone, and in programs that count everything has another name.
        let rest = ["--", "--skip", "load::", "--skip", "what_the_linker_puts_together_is_there"];
        runs.push(if filter.is_empty() { tests.and(rest) } else { tests.and(["--", filter]) });
    }
    let shipped = ["hcsd", "hcs-worker", "hcs-guest", "hcs", "hcs-pull", "libcomputecore.so"];
    let mut programs: Vec<PathBuf> = match tests {
        // Those of another run may lie there.
        Tests::Unit => Vec::new(),
        _ => shipped.iter().map(|name| built.join(name)).filter(|program| program.is_file()).collect(),
    };
    // What cargo says that it has built for the tests.
    let said = line("cargo test --workspace --no-run --message-format json").output(&workspace.root)?;
    programs.extend(lines::executables(&said));
    let failed: Vec<String> = runs.iter().filter_map(|run| run.run(&workspace.root).err()).collect();
    let lines = tools.lines(&counts, &programs, &workspace)?;
    println!("\n{}", table(&by_crate(&workspace, &lines)));
    // What failed has counted too, so the table comes first.
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// Counts of an earlier run would be added.
fn remake(folder: &Path) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    fs::create_dir_all(folder).map_err(failed)
}

/// The lines of each crate that has any.
fn by_crate(workspace: &Workspace, files: &BTreeMap<PathBuf, Lines>) -> Vec<(String, Lines)> {
    let mut crates = Vec::new();
    for one in &workspace.crates {
        let source = workspace.root.join(&one.folder).join("src");
        let own = files.iter().filter(|(file, _)| file.starts_with(&source));
        let sum = own.fold(Lines::default(), |sum, (_, lines)| sum + *lines);
        if sum.all > 0 {
            crates.push((one.folder.display().to_string(), sum));
        }
    }
    crates
}

fn table(crates: &[(String, Lines)]) -> String {
    let sum = crates.iter().fold(Lines::default(), |sum, (_, lines)| sum + *lines);
    let total = ("all".to_owned(), sum);
    let line = |(name, lines): &(String, Lines)| {
        format!("{name:<20} {:>6} of {:>6} lines {:>6.1} %", lines.gone_through, lines.all, lines.percent())
    };
    crates.iter().chain([&total]).map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_per_crate_and_the_sum() {
        let crates = [("ground/core", 90, 100), ("wire/gcs", 5, 300)]
            .map(|(name, gone_through, all)| (name.to_owned(), Lines { gone_through, all }));
        assert_eq!(
            table(&crates),
            "ground/core              90 of    100 lines   90.0 %\n\
             wire/gcs                  5 of    300 lines    1.7 %\n\
             all                      95 of    400 lines   23.8 %"
        );
    }

    #[test]
    fn lines_belong_to_the_crate_in_whose_folder_they_are() {
        let one = |folder: &str| crate::workspace::Crate { folder: folder.into(), dependencies: Vec::new() };
        let workspace = Workspace {
            root: "/tree".into(),
            target: "/tree/target".into(),
            crates: vec![one("wire/gcs"), one("wire/mux")],
        };
        let lines = Lines { gone_through: 1, all: 2 };
        let files = [
            "/tree/wire/gcs/src/a.rs",
            "/tree/wire/gcs/src/b/c.rs",
            "/tree/wire/gcs/tests/d.rs",
            "/other/a.rs",
        ];
        let files = files.map(|file| (PathBuf::from(file), lines)).into();
        let found = by_crate(&workspace, &files);
        assert_eq!(found, [("wire/gcs".to_owned(), Lines { gone_through: 2, all: 4 })]);
    }
}

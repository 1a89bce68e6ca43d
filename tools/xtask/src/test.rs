//! `cargo xtask test`: everything that must hold before a change is taken, one command after the other.
//!
//! The cheap checks come first. The first failure ends the run and names the command to repeat.

use std::time::{Duration, Instant};

use crate::{Outcome, command::Line, host, workspace::Workspace};

/// The test that installs the packages on this machine and removes them. It is run by this step alone, because it makes
/// the one service of the machine.
const PACKAGES: &str = "cargo test --workspace --locked --test packages";

/// Tests that compare times and memory over their run. They have the machine, and the process they run in, for themselves: beside the others
/// they would measure those.
const LOAD: &str = "cargo test --workspace --locked --test e2e -- load:: --test-threads 1";

/// The tests that are run by their names, each in its own way.
const NAMED: &str = "--test e2e --test packages --test reference";

/// A named command.
struct Step {
    name: &'static str,
    line: Line,
}

/// Runs all steps.
pub fn run(full: bool) -> Outcome {
    if !host::is_root() {
        return Err(
            "the end-to-end tests make containers, which takes root; as any other user run the parts that \
                    docs/src/work/development.md lists"
                .to_owned(),
        );
    }
    let workspace = Workspace::load()?;
    let steps = steps(&workspace, full);
    let mut times = Vec::new();
    let mut outcome = Ok(());
    for (index, step) in steps.iter().enumerate() {
        println!("\n== {}/{} {}: {}", index + 1, steps.len(), step.name, step.line);
        let began = Instant::now();
        let result = step.line.run(&workspace.root);
        times.push((step.name, began.elapsed()));
        if let Err(error) = result {
            let repeat = format!("the step `{}` failed; to repeat it:\n\n  {}\n", step.name, step.line);
            outcome = Err(format!("{error}\n{repeat}"));
            break;
        }
    }
    println!("\n{}", table(&times));
    outcome
}

fn steps(workspace: &Workspace, full: bool) -> Vec<Step> {
    let step = |name, line: &str| Step { name, line: Line::of(line) };
    let deny = workspace.tools().join("bin/cargo-deny").display().to_string();
    let deny = Line::new([deny.as_str(), "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    let mut unit = "cargo test --workspace --locked --quiet".to_owned();
    // They wait one second in six, for a guest or for a time to pass, so one more runs than there are processors.
    let threads = std::thread::available_parallelism().map_or(2, usize::from) + 1;
    let mut end_to_end =
        format!("cargo test --workspace --locked --test e2e -- --skip load:: --test-threads {threads}");
    let mut load = LOAD.to_owned();
    let mut build = Line::of("cargo build --release --locked --quiet");
    if full {
        // A long test is marked `#[ignore = "long: …"]`.
        // What is compared with a specification that is elsewhere needs a hand.
        unit += " -- --include-ignored --skip the_member_list_is_that_of_the_specification";
        end_to_end += " --include-ignored";
        load += " --include-ignored";
    } else {
        // Four in ten seconds of the build are those of the linker that optimises, for one call in twenty.
        build = build.with("CARGO_PROFILE_RELEASE_LTO", "off".as_ref());
        build = build.with("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16".as_ref());
        // A panic says where it was without that.
        build = build.with("CARGO_PROFILE_RELEASE_DEBUG", "false".as_ref());
    }
    let of_release =
        |name, line: &str| Step { name, line: Line::of(line).with("HCS_BIN_DIR", &workspace.release()) };
    let mut steps = vec![
        step("install", "cargo xtask install"),
        step("machines", "cargo xtask machines"),
        step("format", "cargo fmt --all --check"),
        step("rows", "cargo xtask rows"),
        Step { name: "licences", line: deny },
        step("lints", "cargo clippy --workspace --all-targets --locked --quiet -- -D warnings"),
        // Those that are run by their names are not among all targets.
        step("more lints", &format!("cargo clippy --workspace {NAMED} --locked --quiet -- -D warnings")),
        step("book", "cargo xtask book"),
        Step { name: "build", line: build },
        step("unit tests", &unit),
        of_release("reference", "cargo test --workspace --locked --quiet --test reference"),
        step("fuzz", if full { "cargo xtask fuzz 600" } else { "cargo xtask fuzz 3" }),
        of_release("end-to-end", &end_to_end),
        of_release("load", &load),
        step("package", "cargo xtask package --no-build"),
        Step {
            name: "packages",
            line: Line::of(PACKAGES).with("HCS_PACKAGES", &workspace.target.join("debian")),
        },
    ];
    if full {
        steps.extend(address_sanitizer(workspace));
        steps.extend(miri());
        // Not always: a machine that is busy with something else keeps no promise.
        steps.push(step("bench", "cargo xtask bench --known"));
    }
    steps
}

/// The C library under AddressSanitizer, used by the programs in C. The compiler's instrumentation goes with the sanitizer of
/// gcc, which builds the programs; its switch is not a stable one.
fn address_sanitizer(workspace: &Workspace) -> [Step; 2] {
    let folder = workspace.target.join("asan");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let build = Line::of(&format!("cargo build -p computecore --locked --quiet --target {triple}"))
        .with("RUSTC_BOOTSTRAP", "1".as_ref())
        .with("RUSTFLAGS", "-Zsanitizer=address".as_ref())
        .with("CARGO_TARGET_DIR", &folder);
    // pkg-config says nothing of sanitizers.
    let run = Line::of("cargo test --workspace --locked --test e2e -- c_library --skip pkg_config")
        .with("HCS_BIN_DIR", &workspace.release())
        .with("HCS_WATCHED_LIBRARY", &folder.join(triple).join("debug/libcomputecore.so"));
    [Step { name: "asan build", line: build }, Step { name: "asan", line: run }]
}

/// Pointers and handles of the C library under Miri, which only a nightly compiler has. It wants to be what runs the compiler, so
/// nothing stands before that.
fn miri() -> [Step; 2] {
    let install = "rustup toolchain install nightly --profile minimal --component miri,rust-src";
    let run = "cargo +nightly miri test --config build.rustc-workspace-wrapper=\"\" -p computecore --locked -- abi handles remote";
    [Step { name: "miri install", line: Line::of(install) }, Step { name: "miri", line: Line::of(run) }]
}

/// The times of the steps, and their sum.
fn table(times: &[(&str, Duration)]) -> String {
    let sum = ("total", times.iter().map(|(_, time)| time).sum());
    let line = |(name, time): &(&str, Duration)| format!("{name:<12} {:>7.1} s", time.as_secs_f64());
    times.iter().chain([&sum]).map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(full: bool) -> Vec<String> {
        let workspace = Workspace { root: "/tree".into(), target: "/tree/target".into(), crates: Vec::new() };
        steps(&workspace, full).iter().map(|step| step.line.to_string()).collect()
    }

    #[test]
    fn the_end_to_end_tests_are_told_where_the_programs_are() {
        let start = "HCS_BIN_DIR=/tree/target/release cargo test --workspace --locked --test e2e";
        assert_eq!(lines(false).iter().filter(|line| line.starts_with(start)).count(), 2);
    }

    #[test]
    fn tests_that_are_run_by_their_names_are_linted_too() {
        let lines = lines(false);
        let name =
            |line: &String| Some(line.split_once("cargo test ")?.1.split_once("--test ")?.1.to_owned());
        let run: Vec<String> = lines.iter().filter_map(name).collect();
        assert!(run.len() > 3, "{lines:?}");
        let linted = |run: &String| {
            let name = run.split(' ').next().unwrap();
            NAMED.contains(&format!("--test {name}"))
        };
        assert!(run.iter().all(linted), "{run:?}");
        assert!(lines.iter().any(|line| line.starts_with("cargo clippy ") && line.contains(NAMED)));
    }

    #[test]
    fn what_compares_times_runs_beside_nothing_else() {
        let lines = lines(false);
        assert!(lines.iter().any(|line| line.ends_with(" -- load:: --test-threads 1")));
        assert!(lines.iter().any(|line| line.contains(" --test e2e -- --skip load:: ")));
    }

    #[test]
    fn full_adds_the_long_tests_and_the_measurements() {
        let full = lines(true);
        assert_eq!(full.iter().filter(|line| line.contains(" --include-ignored")).count(), 3);
        assert_eq!(full.last().unwrap(), "cargo xtask bench --known");
    }

    #[test]
    fn full_runs_the_programs_in_c_on_a_library_that_is_watched() {
        let full = lines(true);
        let build =
            full.iter().position(|line| line.starts_with("RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address "));
        let run = full.iter().position(|line| line.contains("/debug/libcomputecore.so cargo test"));
        assert!(build.is_some() && build.map(|index| index + 1) == run);
        assert!(!lines(false).iter().any(|line| line.contains("sanitizer")));
    }

    #[test]
    fn times_are_a_table_with_a_sum() {
        let times = [("format", Duration::from_millis(1234)), ("end-to-end", Duration::from_secs(100))];
        assert_eq!(table(&times), "format           1.2 s\nend-to-end     100.0 s\ntotal          101.2 s");
    }
}

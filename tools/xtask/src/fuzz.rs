//! `cargo xtask fuzz`: feeds readers of foreign bytes with mutations of what is in `tools/fuzz/corpus`.
//!
//! libFuzzer is built as `cargo fuzz` builds it, but with the stable compiler: instrumentation is part of it, only the
//! sanitizers are not. New inputs stay in the target folder; what is worth keeping goes into the corpus by hand.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{Outcome, command::Line, workspace::Workspace};

const TARGETS: &[&str] = &[
    "tar",
    "image",
    "disk",
    "document",
    "plan",
    "config",
    "state",
    "varlink",
    "worker",
    "capi",
    "gcs_guest",
    "gcs_host",
    "mux",
    "p9",
    "vfio",
    "vhost",
];

/// What tells the fuzzer which way the code goes.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// From so many seconds on it pays to optimise what is run for so long: that takes another minute.
const WORTH_OPTIMISING: u32 = 30;

/// Runs each target for so many seconds.
pub fn run(seconds: &str) -> Outcome {
    let seconds: u32 = seconds.parse().map_err(|_| format!("found {seconds:?}, expected seconds"))?;
    let workspace = Workspace::load()?;
    let folder = workspace.root.join("tools/fuzz");
    let target = workspace.target.join("fuzz");
    // With a triple, what runs while building is not instrumented.
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let (profile, built) = if seconds < WORTH_OPTIMISING { ("dev", "debug") } else { ("release", "release") };
    Line::of(&format!("cargo build --profile {profile} --locked --quiet --target {triple}"))
        .with("RUSTFLAGS", FLAGS.as_ref())
        .with("CARGO_TARGET_DIR", &target)
        .run(&folder)?;
    let fuzz = |name: &str| {
        let found = target.join("found").join(name);
        std::fs::create_dir_all(&found).map_err(|error| format!("{}: {error}", found.display()))?;
        let program = target.join(&triple).join(built).join(name);
        println!("-- {name}, {seconds} s");
        Line::new([
            program.display().to_string().as_str(),
            &found.display().to_string(),
            &folder.join("corpus").join(name).display().to_string(),
            &format!("-max_total_time={seconds}"),
            "-max_len=65536",
            "-timeout=10",
            "-rss_limit_mb=2048",
            &format!("-artifact_prefix={}/", target.join("found").display()),
        ])
        .run_quietly(&workspace.root)
    };
    // Each has one thread, so there is one for each processor.
    let next = AtomicUsize::new(0);
    let take_turns = || loop {
        match TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
            Some(name) => fuzz(name)?,
            None => return Ok(()),
        }
    };
    thread::scope(|scope| {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let fuzzers: Vec<_> = (0..processors).map(|_| scope.spawn(take_turns)).collect();
        let ends =
            fuzzers.into_iter().map(|fuzzer| fuzzer.join().map_err(|_| "a fuzzer's thread".to_owned())?);
        ends.collect::<Vec<Outcome>>().into_iter().collect()
    })
}

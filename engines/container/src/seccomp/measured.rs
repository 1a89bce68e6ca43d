//! What compiling and loading the default filter costs. Run by hand: `cargo test --release -- --ignored --nocapture measured`;
//! `cargo xtask test --full` runs it too.

use std::time::Instant;

use super::{compile, default_profile};
use crate::confinement::CAPABILITIES;

#[test]
#[ignore = "long: a measurement; filters stay on the thread that loads them"]
fn measured_times_of_the_default_filter() {
    const ROUNDS: usize = 200;
    let mut compiling: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            let program = compile(&default_profile(CAPABILITIES)).unwrap();
            assert!(program.length() > 0);
            began.elapsed()
        })
        .collect();
    compiling.sort();
    let program = compile(&default_profile(CAPABILITIES)).unwrap();
    // Each on a thread of its own, as filters add up.
    let mut loading: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let program = program.clone();
            std::thread::spawn(move || {
                rustix::thread::set_no_new_privs(true).unwrap();
                let began = Instant::now();
                program.load().unwrap();
                began.elapsed()
            })
            .join()
            .unwrap()
        })
        .collect();
    loading.sort();
    println!(
        "{} instructions; compiling {:?}, loading {:?} (medians of {ROUNDS})",
        program.length(),
        compiling[ROUNDS / 2],
        loading[ROUNDS / 2]
    );
}

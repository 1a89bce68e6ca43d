//! Faults at each step of each operation: somebody is killed, a call fails, a message is late, a connection is cut.
//! Whatever goes wrong and wherever: the client is told the truth, the state is whole, nothing is left, the next works.

mod cell;
mod judge;
mod matrix;
mod operations;

use std::{env, fs, path::PathBuf};

use cell::{Place, Victim, Wrong};
use hcs_tests::{faults::Made, random::Random};
use matrix::Matrix;
use operations::OPERATIONS;

/// One cell of so many may be such that its step was not come to: threads are not the same in each run.
const MOST_NOT_REACHED: usize = 20;

/// What can go wrong at a step.
fn wrongs(made: &Made) -> Vec<Wrong> {
    let victims = [Victim::Service, Victim::Worker, Victim::Init, Victim::Spare, Victim::Client];
    let kills = victims.into_iter().filter(|_| made.has_effect).map(Wrong::Kill);
    let fails = made.errors.iter().flat_map(|error| [Wrong::FailOnce(*error), Wrong::FailForEver(*error)]);
    let messages = [Wrong::Delay, Wrong::Cut].into_iter().filter(|_| made.sends);
    kills.chain(fails).chain(messages).collect()
}

/// Runs cells, `choose` of which. For one operation or step alone: `HCS_FAULTS="start · hcsd"`.
fn run(mut choose: impl FnMut() -> bool) {
    let only = env::var("HCS_FAULTS").unwrap_or_default();
    let mut matrix = Matrix::default();
    let mut place = Place::new();
    place.service.be_patient();
    for operation in OPERATIONS {
        if !only.is_empty() && !only.starts_with(operation.name) {
            continue;
        }
        for made in place.record(operation) {
            for wrong in wrongs(&made) {
                let name = format!("{} · {} · {wrong}", operation.name, made.step);
                if !name.contains(&only) || (only.is_empty() && !choose()) {
                    continue;
                }
                let began = std::time::Instant::now();
                let outcome = place.cell(operation, &made.step, wrong);
                println!("{:>6} ms {name}: {outcome:?}", began.elapsed().as_millis());
                matrix.add(operation.name, made.step.to_string(), wrong, outcome);
                place.service.be_patient();
            }
        }
    }
    report(&matrix);
}

fn report(matrix: &Matrix) {
    let (table, broken) = (matrix.table(), matrix.broken());
    println!("{table}\n{}", matrix.summary());
    let file = env::current_exe()
        .unwrap()
        .ancestors()
        .nth(3)
        .map_or(PathBuf::new(), |target| target.join("faults.txt"));
    fs::write(&file, format!("{table}\n{}\n{}\n", matrix.summary(), broken.join("\n"))).unwrap();
    let (cells, missed) = (matrix.cells(), matrix.not_reached());
    println!("{cells} cells, {missed} not reached, {} broken; see {}", broken.len(), file.display());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(missed * MOST_NOT_REACHED <= cells, "{missed} of {cells} cells were not reached");
}

#[test]
fn a_fault_at_a_sampled_step_of_each_operation_leaves_nothing_half_done() {
    let mut random = Random::new();
    println!("{random}");
    run(|| random.below(20) == 0);
}

#[test]
#[ignore = "long: every step of every operation"]
fn a_fault_at_any_step_of_any_operation_leaves_nothing_half_done() {
    run(|| true);
}

//! Faults at each step of each operation: somebody is killed, a call fails, a message is late, a connection is cut.
//! Whatever goes wrong and wherever: the client is told the truth, the state is whole, nothing is left, the next works.

mod aside;
mod cell;
mod judge;
mod kind;
mod matrix;
mod operations;
mod restart;
mod storage;

use std::{
    collections::HashSet,
    env, fs,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use aside::DEVICE;
use cell::{Outcome, Place, Victim, Wrong};
use hcs_tests::faults::{Made, Step};
use matrix::Matrix;
use operations::{OPERATIONS, Operation};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

/// The short test tries one cell of so many.
const ONE_IN: u64 = 60;

/// And of those that take long, or are many, one of so many.
const SLOW_ONE_IN: u64 = 600;

/// Operations that take long and that it looks at; the long test looks at all.
const SLOW: &[&str] = &["restore start", "clone start", "device add"];

/// Of steps that are alike it looks at so many. The later ones of a thousand writes are the same, and not always as many.
const LIKE: usize = 16;

/// One cell of so many may be such that its step was not come to: threads are not the same in each run.
const MOST_NOT_REACHED: usize = 20;

/// What can go wrong at a step of an operation. Who runs beside a system is killed at its own steps, and with it who knows of it.
fn wrongs(operation: &Operation, made: &Made) -> Vec<Wrong> {
    let is_beside = made.step.is_of_machine() || made.step.role == DEVICE;
    let is_victim =
        |victim: &&Victim| !is_beside || matches!(victim, Victim::Worker | Victim::Inside | Victim::Device);
    let victims = operation.kind.victims().iter().filter(is_victim);
    let kills = victims.filter(|_| made.has_effect).copied().map(Wrong::Kill);
    let fails = made.errors.iter().flat_map(|error| [Wrong::FailOnce(*error), Wrong::FailForEver(*error)]);
    // The way to an agent ends only with QEMU. Who has not heard that it is to end goes on, and that is waited for.
    let is_unheard = operation.to.is_none() && made.step.speaks_to_agent();
    let cut = (!is_unheard).then_some(Wrong::Cut);
    let messages = [Some(Wrong::Delay), cut].into_iter().flatten().filter(|_| made.sends);
    kills.chain(fails).chain(messages).collect()
}

/// Which cells are tried.
///
/// - `HCS_FAULTS="start · hcsd mkdir; device add"`: those of these operations, or whose names begin so, alone.
/// - `HCS_FAULTS_OWN=1`: of operations that are those of a plainer system, too, the steps alone that these have not.
/// - `HCS_FAULTS_DONE=FILE`: what was tried is noted there, and what is noted there is not tried again. A run that takes hours
///   is had in pieces like this.
/// - `HCS_FAULTS_SECONDS=480`: how long a piece takes. The cells that it does not come to are left to the next.
struct Choice<F> {
    only: Vec<String>,
    until: Option<Instant>,
    is_short: bool,
    among: F,
    matrix: Matrix,
    /// How many cells there was no time for.
    left: usize,
}

impl<F: Fn(&str, bool) -> bool> Choice<F> {
    fn new(is_short: bool, among: F) -> Choice<F> {
        let only = env::var("HCS_FAULTS").unwrap_or_default();
        let only = only.split(';').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect();
        let matrix = env::var("HCS_FAULTS_DONE").map(|file| Matrix::kept_in(Path::new(&file)));
        let until = number("HCS_FAULTS_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
        Choice { only, until, is_short, among, matrix: matrix.unwrap_or_default(), left: 0 }
    }

    fn has_any_of(&self, operation: &str) -> bool {
        let is_of_it = |one: &String| one.split(" · ").next() == Some(operation);
        self.only.is_empty() || self.only.iter().any(is_of_it)
    }

    fn has(&self, operation: &Operation) -> bool {
        let is_left_out = self.is_short && operation.kind.is_slow() && !SLOW.contains(&operation.name);
        self.has_any_of(operation.name) && !is_left_out
    }

    fn has_cell(&self, operation: &str, name: &str, is_slow: bool) -> bool {
        let is_it = |one: &String| one == operation || one.contains(" · ") && name.starts_with(one);
        (self.only.is_empty() || self.only.iter().any(is_it)) && (self.among)(name, is_slow)
    }

    /// Tries a cell, if it is chosen.
    fn consider(
        &mut self,
        operation: &str,
        is_slow: bool,
        step: &Step,
        wrong: Wrong,
        attempt: impl FnOnce() -> Outcome,
    ) {
        if self.is_short && step.occurrence > LIKE {
            return;
        }
        let name = matrix::name(operation, &step.to_string(), &wrong.to_string());
        if !self.has_cell(operation, &name, is_slow) || self.matrix.has(&name) {
            return;
        }
        let began = Instant::now();
        if self.until.is_some_and(|until| began >= until) {
            println!("     left {name}");
            self.left += 1;
            return;
        }
        let outcome = attempt();
        println!("{:>6} ms {name}: {outcome:?}", began.elapsed().as_millis());
        self.matrix.add(operation, step.to_string(), wrong, outcome);
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

fn run(is_short: bool, among: impl Fn(&str, bool) -> bool) {
    let mut choice = Choice::new(is_short, among);
    let mut place = Place::new();
    let only_own = number("HCS_FAULTS_OWN") == Some(1);
    for operation in OPERATIONS.iter().filter(|one| choice.has(one)).collect::<Vec<_>>() {
        let plainer = OPERATIONS.iter().find(|one| only_own && Some(one.name) == operation.like);
        let common: HashSet<Step> =
            plainer.into_iter().flat_map(|one| place.record(one)).map(|made| made.step).collect();
        for made in place.record(operation).into_iter().filter(|made| !common.contains(&made.step)) {
            for wrong in wrongs(operation, &made) {
                place.service.be_patient();
                let is_slow = operation.kind.is_slow() || made.step.is_of_machine();
                choice.consider(operation.name, is_slow, &made.step, wrong, || {
                    place.cell(operation, &made.step, wrong)
                });
            }
        }
    }
    if choice.has_any_of(restart::NAME) {
        for made in place.record_restart() {
            for wrong in restart::wrongs(&made) {
                place.service.be_patient();
                choice.consider(restart::NAME, true, &made.step, wrong, || {
                    place.restart_cell(&made.step, wrong)
                });
            }
        }
    }
    drop(place);
    for deed in storage::DEEDS.iter().filter(|one| choice.has_any_of(one.name)).collect::<Vec<_>>() {
        let (steps, whole) = storage::Workshop::new(deed).record(deed);
        for made in steps {
            for wrong in storage::wrongs(&made) {
                choice.consider(deed.name, false, &made.step, wrong, || {
                    storage::cell(deed, &made.step, wrong, &whole)
                });
            }
        }
    }
    report(&choice.matrix, choice.left);
}

fn report(matrix: &Matrix, left: usize) {
    let (table, counts, broken) = (matrix.table(), matrix.counts(), matrix.broken());
    let summary = matrix.summary();
    println!("{table}\n{summary}\n{counts}");
    let file = env::current_exe()
        .unwrap()
        .ancestors()
        .nth(3)
        .map_or(PathBuf::new(), |target| target.join("faults.txt"));
    fs::write(&file, format!("{table}\n{summary}\n{counts}\n{}\n", broken.join("\n"))).unwrap();
    let (cells, missed) = (matrix.cells(), matrix.not_reached());
    println!(
        "{cells} cells, {missed} not reached, {} broken, {left} left; see {}",
        broken.len(),
        file.display()
    );
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(missed * MOST_NOT_REACHED <= cells, "{missed} of {cells} cells were not reached");
}

/// Waits for the end of a program, which is ended if it does not come.
fn await_end(child: &mut Child, patience: Duration) -> Result<(), String> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).map_err(|errno| errno.to_string())?;
    let deadline = Instant::now() + patience;
    loop {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).unwrap();
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left)) {
            Ok(1..) => return Ok(()),
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.to_string()),
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    Err("the program hangs".to_owned())
}

/// Which cells the short test tries: always the same, so that what it says of a change is about the change. `HCS_TEST_SEED` takes
/// others, and the long test takes all, unless it is told to take one of so many.
const SEED: u64 = 1;

#[test]
fn a_fault_at_a_sampled_step_of_each_operation_leaves_nothing_half_done() {
    let one_in = number("HCS_FAULTS_ONE_IN").unwrap_or(ONE_IN);
    run(true, |name, is_slow| is_sampled(name, if is_slow { one_in * SLOW_ONE_IN / ONE_IN } else { one_in }));
}

/// Whether a cell is among one of so many: by its name, so that it is whatever comes before it.
fn is_sampled(name: &str, one_in: u64) -> bool {
    // FNV-1a.
    let mixed = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let seed = number("HCS_TEST_SEED").unwrap_or(SEED);
    (name.bytes().fold(mixed(seed, 0), mixed) >> 20) % one_in == 0
}

#[test]
#[ignore = "long: every step of every operation"]
fn a_fault_at_any_step_of_any_operation_leaves_nothing_half_done() {
    let one_in = number("HCS_FAULTS_ONE_IN").unwrap_or(1);
    run(false, |name, _| is_sampled(name, one_in));
}

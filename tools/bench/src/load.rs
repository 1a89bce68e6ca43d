//! A busy machine: one process for each processor that computes and does nothing else.

use std::{
    env, hint,
    process::{Child, Command},
};

use rustix::{
    process::{Signal, set_parent_process_death_signal},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use crate::Outcome;

/// The processes; they end when this is dropped.
pub struct Load(Vec<Child>);

impl Load {
    /// Makes the machine busy.
    pub fn start() -> Outcome<Load> {
        let allowed = sched_getaffinity(None)?;
        let mut load = Load(Vec::new());
        for processor in (0..CpuSet::MAX_CPU).filter(|one| allowed.is_set(*one)) {
            let mut command = Command::new(env::current_exe()?);
            load.0.push(command.args(["compute", &processor.to_string()]).spawn()?);
        }
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for process in &mut self.0 {
            // They die with their parent at the latest.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// What such a process does, for ever.
pub fn compute(processor: &str) -> Outcome {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut set = CpuSet::new();
    set.set(processor.parse()?);
    sched_setaffinity(None, &set)?;
    let mut number: u64 = 1;
    loop {
        number = hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

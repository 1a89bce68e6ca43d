//! Callbacks on threads of the library: one after another for one handle, at once for different ones.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
};

use crate::{
    pool::{self, Job},
    sync::{Mutex, MutexGuard},
};

/// The callbacks of one handle, in order.
#[derive(Default)]
pub struct Strand(Mutex<Line>);

#[derive(Default)]
struct Line {
    jobs: VecDeque<Job>,
    /// A thread is at it.
    active: bool,
}

impl Strand {
    /// Runs a job after those before it.
    pub fn push(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        let mut line = lock(&self.0);
        line.jobs.push_back(Box::new(job));
        if !std::mem::replace(&mut line.active, true) {
            let strand = self.clone();
            pool::run(Box::new(move || strand.drain()));
        }
    }

    fn drain(&self) {
        loop {
            let job = {
                let mut line = lock(&self.0);
                let Some(job) = line.jobs.pop_front() else {
                    line.active = false;
                    return;
                };
                job
            };
            job();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn jobs_of_one_strand_run_in_order() {
        let strand = Arc::new(Strand::default());
        let (sender, receiver) = mpsc::channel();
        for number in 0..1000 {
            let sender = sender.clone();
            strand.push(move || sender.send(number).unwrap());
        }
        let order: Vec<i32> = (0..1000).map(|_| receiver.recv_timeout(PATIENCE).unwrap()).collect();
        assert!(order.is_sorted());
    }

    #[test]
    fn a_job_has_the_room_that_functions_of_programs_are_used_to() {
        let (strand, (sender, receiver)) = (Arc::new(Strand::default()), mpsc::channel());
        strand.push(move || {
            let mut buffer = [1u8; 300 << 10];
            sender.send(std::hint::black_box(&mut buffer).len()).unwrap();
        });
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok(300 << 10));
    }

    #[test]
    fn a_job_that_blocks_holds_up_no_other_strand() {
        let (strands, (sender, receiver)) = ([(); 16].map(|()| Arc::new(Strand::default())), mpsc::channel());
        // Each waits until all of them run.
        let barrier = Arc::new(std::sync::Barrier::new(strands.len()));
        for strand in &strands {
            let (barrier, sender) = (barrier.clone(), sender.clone());
            strand.push(move || {
                barrier.wait();
                sender.send(()).unwrap();
            });
        }
        for _ in &strands {
            receiver.recv_timeout(PATIENCE).unwrap();
        }
    }
}

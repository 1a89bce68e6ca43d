//! Callbacks on threads of the library: one after another for one handle, at once for different ones.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hcs::link::quiet;

type Job = Box<dyn FnOnce() + Send>;

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
            POOL.run(Box::new(move || strand.drain()));
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

/// Threads, as many as callbacks run at a time: a callback may block, and must not hold up others.
struct Pool {
    state: Mutex<PoolState>,
    work: Condvar,
}

struct PoolState {
    jobs: VecDeque<Job>,
    idle: usize,
}

static POOL: Pool =
    Pool { state: Mutex::new(PoolState { jobs: VecDeque::new(), idle: 0 }), work: Condvar::new() };

/// How much room a callback has: it is a function of the program, and those are used to as much.
const STACK: usize = 1 << 20;

/// How long a thread without work stays.
const REST: Duration = Duration::from_secs(5);

impl Pool {
    fn run(&'static self, job: Job) {
        let mut state = lock(&self.state);
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            self.work.notify_one();
            return;
        }
        drop(state);
        // Without a new thread the job waits for one of those there are.
        if quiet::spawn_with_stack("hcs-callback", STACK, || self.serve()).is_err() {
            self.work.notify_one();
        }
    }

    fn serve(&self) {
        let mut state = lock(&self.state);
        loop {
            while let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = lock(&self.state);
            }
            state.idle += 1;
            let (woken, timeout) = self
                .work
                .wait_timeout_while(state, REST, |state| state.jobs.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                return;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

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

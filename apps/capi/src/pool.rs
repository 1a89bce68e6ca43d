//! The threads that callbacks run on.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hcs::link::quiet;

/// What a thread does.
pub type Job = Box<dyn FnOnce() + Send>;

/// Has a thread do a job.
pub fn run(job: Job) {
    POOL.run(job);
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

//! The threads that callbacks run on: one of loom's for each strand that has something to do.

use std::cell::RefCell;

use crate::sync::thread::{self, JoinHandle};

/// What a thread does.
pub type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    // All threads of a loom are turns of one.
    static RUNNING: RefCell<Vec<JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
}

/// Has a thread do a job.
pub fn run(job: Job) {
    let running = thread::spawn(job);
    RUNNING.with_borrow_mut(|all| all.push(running));
}

/// Waits until there is nothing more to do.
///
/// # Panics
///
/// If a job has.
pub fn settle() {
    while let Some(running) = RUNNING.with_borrow_mut(Vec::pop) {
        running.join().expect("a job that ends well");
    }
}

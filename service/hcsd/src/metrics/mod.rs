//! Figures about the service, for those who watch many hosts: what is counted, and how it is told.
//!
//! Counting costs an addition, takes no lock, and never fails a call. What is known anyway (systems, operations, crash
//! reports) is looked at when somebody asks, and counted nowhere.
//!
//! ```text
//!   calls    how many calls of each method there were, how they ended, how long they took
//!   figures  everything as families of Prometheus
//!   text     the form: HELP, TYPE, samples (text format 0.0.4)
//!   http     metrics.sock, which tells it to whoever asks
//! ```

pub mod calls;
mod figures;
pub mod http;
mod text;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use calls::Calls;

/// What the service counts.
pub struct Metrics {
    /// When it was started.
    started: SystemTime,
    /// Calls that were answered.
    pub calls: Calls,
    /// Connections that were admitted.
    pub connections_admitted: Counter,
    /// Those of them that have ended.
    pub connections_ended: Counter,
    /// Connections that were refused.
    pub connections_refused: Counter,
    /// Events that were sent, one for each listener.
    pub events_sent: Counter,
    /// Listeners that did not keep up.
    pub listeners_dropped: Counter,
}

impl Metrics {
    /// Nothing has happened yet.
    pub fn new() -> Metrics {
        Metrics {
            started: SystemTime::now(),
            calls: Calls::new(),
            connections_admitted: Counter::default(),
            connections_ended: Counter::default(),
            connections_refused: Counter::default(),
            events_sent: Counter::default(),
            listeners_dropped: Counter::default(),
        }
    }
}

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.add(1);
    }

    /// So many more.
    fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

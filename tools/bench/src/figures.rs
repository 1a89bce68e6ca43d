//! Durations, gathered and told.

use std::time::{Duration, Instant};

/// The durations of one thing done many times.
#[derive(Default)]
pub struct Figures(Vec<Duration>);

impl Figures {
    /// Does something and notes how long it took.
    pub fn time<T>(&mut self, action: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let result = action();
        self.0.push(begin.elapsed());
        result
    }

    /// Notes a duration.
    pub fn add(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// The duration that this share of the others does not exceed.
    pub fn percentile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }

    /// One line for people.
    pub fn line(&self, name: &str) -> String {
        let micros = |share| self.percentile(share).as_secs_f64() * 1e6;
        format!("{name:<44} {:>9.1} {:>9.1} {:>9.1}", micros(0.5), micros(0.9), micros(0.99))
    }
}

/// The heading above such lines.
pub fn heading() -> String {
    format!("{:<44} {:>9} {:>9} {:>9}", "microseconds", "median", "p90", "p99")
}

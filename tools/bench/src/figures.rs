//! Durations, gathered and told.

use std::time::{Duration, Instant};

use crate::Outcome;

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

/// How long something takes.
pub fn timed(action: impl FnOnce() -> Outcome) -> Outcome<Duration> {
    let begin = Instant::now();
    action()?;
    Ok(begin.elapsed())
}

/// Two things, each done so often, and how long they take.
pub fn in_turns(
    pairs: usize,
    mut one: impl FnMut() -> Outcome<Duration>,
    mut other: impl FnMut() -> Outcome<Duration>,
) -> Outcome<[Figures; 2]> {
    let mut figures = [Figures::default(), Figures::default()];
    for pair in 0..pairs {
        // Who comes first may find the machine in another state than who comes second.
        for which in [pair % 2, (pair + 1) % 2] {
            figures[which].add(if which == 0 { one()? } else { other()? });
        }
    }
    Ok(figures)
}

/// Tells such figures by their names; the ratio of their medians.
pub fn compared(names: [&str; 2], [one, other]: &[Figures; 2]) -> f64 {
    println!("{}\n{}\n{}", heading(), one.line(names[0]), other.line(names[1]));
    one.percentile(0.5).as_secs_f64() / other.percentile(0.5).as_secs_f64()
}

/// The heading above such lines.
pub fn heading() -> String {
    format!("{:<44} {:>9} {:>9} {:>9}", "microseconds", "median", "p90", "p99")
}

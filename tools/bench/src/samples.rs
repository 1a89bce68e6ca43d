//! Durations of one thing that is done many times.

use std::time::{Duration, Instant};

use crate::Outcome;

/// They.
#[derive(Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
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

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The duration that this share of the others does not exceed.
    pub fn percentile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }

    /// The one in the middle.
    pub fn median(&self) -> Duration {
        self.percentile(0.5)
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Samples {
        Samples(durations.into_iter().collect())
    }
}

/// How long something takes.
pub fn timed(action: impl FnOnce() -> Outcome) -> Outcome<Duration> {
    let begin = Instant::now();
    action()?;
    Ok(begin.elapsed())
}

/// Two things in turns, each done so often, and how long they take.
pub fn in_turns(
    pairs: usize,
    mut one: impl FnMut() -> Outcome<Duration>,
    mut other: impl FnMut() -> Outcome<Duration>,
) -> Outcome<[Samples; 2]> {
    let mut samples = [Samples::default(), Samples::default()];
    for pair in 0..pairs {
        // Who comes first may find the machine in another state than who comes second.
        for which in [pair % 2, (pair + 1) % 2] {
            samples[which].add(if which == 0 { one()? } else { other()? });
        }
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_samples() {
        let samples: Samples = [5, 1, 4, 2, 3].map(Duration::from_secs).into_iter().collect();
        assert_eq!(samples.median(), Duration::from_secs(3));
        assert_eq!(samples.percentile(0.0), Duration::from_secs(1));
        assert_eq!(samples.percentile(0.99), Duration::from_secs(5));
    }

    #[test]
    fn each_comes_first_in_every_second_pair() {
        let order = std::cell::RefCell::new(String::new());
        let note = |name: char| {
            order.borrow_mut().push(name);
            Ok(Duration::ZERO)
        };
        in_turns(3, || note('a'), || note('b')).unwrap();
        assert_eq!(order.into_inner(), "abbaab");
    }
}

//! Calls: how many of each method, how they ended, how long they took.

use std::time::Duration;

use hcs_ipc::compute::METHODS;

use super::Counter;

/// The upper ends of the buckets of durations, in microseconds and as they are told. The first is what a call that
/// does nothing is promised to take, the last what a person waits for.
pub const BUCKETS: [(u64, &str); 8] = [
    (50, "0.00005"),
    (200, "0.0002"),
    (1_000, "0.001"),
    (5_000, "0.005"),
    (20_000, "0.02"),
    (100_000, "0.1"),
    (1_000_000, "1"),
    (10_000_000, "10"),
];

/// The name under which the calls are counted that no method of ours was found for.
const OTHER: &str = "other";

/// The calls of each method.
pub struct Calls {
    methods: Vec<Method>,
    other: Method,
}

/// The calls of one method.
pub struct Method {
    /// Its name without that of the interface.
    pub name: &'static str,
    full_name: &'static str,
    /// Calls that were done.
    pub done: Counter,
    /// Calls that were answered with an error.
    pub failed: Counter,
    /// How long all of them took.
    pub durations: Histogram,
}

/// Durations in fixed buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Those that are in each bucket and in none before; the last holds what is longer than all.
    buckets: [Counter; BUCKETS.len() + 1],
    /// The sum. Microseconds of all that wait for years still fit.
    microseconds: Counter,
}

impl Calls {
    /// None yet.
    pub fn new() -> Calls {
        let methods = METHODS.iter().map(|(name, _)| Method::new(name)).collect();
        Calls { methods, other: Method::new(OTHER) }
    }

    /// A call was answered.
    pub fn count(&self, method: &str, is_done: bool, took: Duration) {
        let method = self.methods.iter().find(|one| one.full_name == method).unwrap_or(&self.other);
        if is_done { &method.done } else { &method.failed }.count();
        method.durations.count(took);
    }

    /// All methods.
    pub fn all(&self) -> impl Iterator<Item = &Method> {
        self.methods.iter().chain([&self.other])
    }
}

impl Method {
    fn new(full_name: &'static str) -> Method {
        Method {
            name: full_name.rsplit('.').next().unwrap_or(full_name),
            full_name,
            done: Counter::default(),
            failed: Counter::default(),
            durations: Histogram::default(),
        }
    }
}

impl Histogram {
    fn count(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|(end, _)| took <= *end).unwrap_or(BUCKETS.len());
        self.buckets[bucket].count();
        self.microseconds.add(took);
    }

    /// How many took no longer than each end, and last how many there are.
    pub fn cumulative(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().scan(0, |sum, bucket| {
            *sum += bucket.get();
            Some(*sum)
        })
    }

    /// The sum, in microseconds.
    pub fn sum(&self) -> u64 {
        self.microseconds.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_holds_what_the_ones_before_it_hold() {
        let histogram = Histogram::default();
        for microseconds in [0, 50, 51, 999, 20_000_000, 20_000_000] {
            histogram.count(Duration::from_micros(microseconds));
        }
        assert_eq!(histogram.cumulative().collect::<Vec<_>>(), [2, 3, 4, 4, 4, 4, 4, 4, 6]);
        assert_eq!(histogram.sum(), 40_001_100);
    }

    #[test]
    fn the_ends_rise_and_are_told_as_they_are() {
        assert!(BUCKETS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (microseconds, told) in BUCKETS {
            assert_eq!((told.parse::<f64>().unwrap() * 1e6).round(), microseconds as f64);
        }
    }

    #[test]
    fn a_call_is_counted_under_its_method_and_how_it_ended() {
        let calls = Calls::new();
        calls.count("io.hcs.Compute.ListOperations", true, Duration::ZERO);
        calls.count("io.hcs.Compute.ListOperations", false, Duration::ZERO);
        calls.count("io.hcs.Compute.Nonsense\"}", false, Duration::ZERO);
        let counted: Vec<_> = calls
            .all()
            .map(|method| (method.name, method.done.get(), method.failed.get()))
            .filter(|(_, done, failed)| done + failed > 0)
            .collect();
        assert_eq!(counted, [("ListOperations", 1, 1), ("other", 0, 1)]);
    }
}

//! The median of ratios, and how certain it is.

/// Samples that the interval is made from.
const RESAMPLES: usize = 4000;

/// A median, and the interval in which it lies with a certainty of 95 %.
#[derive(Debug, PartialEq)]
pub struct Interval {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// By the bootstrap: sittings are drawn again and again, and of each its ratios, because those of one sitting resemble each other.
/// The same seed draws the same.
pub fn interval(sittings: &[Vec<f64>], seed: u64) -> Interval {
    let mut random = Random(seed | 1);
    let mut medians = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let mut drawn = Vec::new();
        for _ in sittings {
            let sitting = &sittings[random.below(sittings.len())];
            drawn.extend(sitting.iter().map(|_| sitting[random.below(sitting.len())]));
        }
        medians.push(median(drawn));
    }
    medians.sort_by(f64::total_cmp);
    let at = |share: f64| medians[((medians.len() - 1) as f64 * share).round() as usize];
    Interval { median: median(sittings.concat()), low: at(0.025), high: at(0.975) }
}

/// That of nothing is not a number.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        _ if values.is_empty() => f64::NAN,
        0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// Good enough to draw with: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many sittings of eight ratios around a middle, which lie up to a tenth from it.
    fn around(middle: f64, sittings: usize) -> Vec<Vec<f64>> {
        let mut random = Random(7);
        let mut ratio = || middle + (random.below(2001) as f64 - 1000.0) / 1e4;
        (0..sittings).map(|_| (0..8).map(|_| ratio()).collect()).collect()
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn what_is_the_same_is_within_the_interval_and_what_differs_without() {
        let same = interval(&around(1.0, 9), 1);
        assert!(same.low < 1.0 && 1.0 < same.high, "{same:?}");
        let slower = interval(&around(1.1, 9), 1);
        assert!(
            1.0 < slower.low && slower.low <= slower.median && slower.median <= slower.high,
            "{slower:?}"
        );
    }

    #[test]
    fn more_sittings_make_it_more_certain() {
        let width = |sittings| {
            let found = interval(&around(1.0, sittings), 1);
            found.high - found.low
        };
        assert!(width(40) < width(4));
    }

    #[test]
    fn the_same_seed_finds_the_same() {
        assert_eq!(interval(&around(1.0, 5), 3), interval(&around(1.0, 5), 3));
    }
}

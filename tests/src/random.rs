//! Moments and choices for tests that kill: a failure is repeated with its seed.

use std::{
    env, fmt,
    time::{SystemTime, UNIX_EPOCH},
};

/// Good enough to pick moments: xorshift, begun with the time or with `HCS_TEST_SEED`.
pub struct Random(u64);

impl Random {
    /// A fresh one.
    pub fn new() -> Random {
        let given = env::var("HCS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let time = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
        // Nothing comes of 0. Any other state comes again as it was printed.
        Random(given.unwrap_or_else(time).max(1))
    }

    /// A number below the limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The seed that begins the rest anew.
impl fmt::Display for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HCS_TEST_SEED={}", self.0)
    }
}

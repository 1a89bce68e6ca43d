//! What figures are counted in. Each quantity has one unit in files, and is told to people in the one that suits its size.

use serde::{Deserialize, Serialize};

/// A unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Time.
    Microseconds,
    /// Memory and files.
    Bytes,
}

/// A second and a thousandth of one, in microseconds.
pub const SECOND: f64 = 1e6;
pub const MILLISECOND: f64 = 1e3;
/// In bytes.
pub const KIB: f64 = 1024.0;
pub const MIB: f64 = 1024.0 * KIB;

impl Unit {
    /// A value with its unit, for people.
    pub fn tell(self, value: f64) -> String {
        let steps: [(f64, &str); 3] = match self {
            Unit::Microseconds => [(SECOND, "s"), (MILLISECOND, "ms"), (1.0, "µs")],
            Unit::Bytes => [(MIB, "MiB"), (KIB, "KiB"), (1.0, "bytes")],
        };
        let (size, name) = steps.into_iter().find(|(size, _)| value >= *size).unwrap_or(steps[2]);
        format!("{} {name}", digits(value / size))
    }
}

/// A number with as many digits as mean something.
pub fn digits(value: f64) -> String {
    let places = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_told_in_the_unit_that_suits_it() {
        assert_eq!(Unit::Microseconds.tell(58.44), "58.4 µs");
        assert_eq!(Unit::Microseconds.tell(2.0 * MILLISECOND), "2 ms");
        assert_eq!(Unit::Microseconds.tell(1.69 * SECOND), "1.69 s");
        assert_eq!(Unit::Microseconds.tell(300.0 * MILLISECOND), "300 ms");
        assert_eq!(Unit::Bytes.tell(400.0 * KIB), "400 KiB");
        assert_eq!(Unit::Bytes.tell(4.0 * MIB), "4 MiB");
        assert_eq!(Unit::Bytes.tell(0.0), "0 bytes");
    }
}

//! A figure: what was measured of ours, beside a peer where there is one, and whether it keeps its promise.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Outcome,
    promises::{self, Limit},
    samples::Samples,
    units::{Unit, digits},
};

/// A figure as it is kept in a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    unit: Unit,
    ours: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<Beside>,
    /// The promise that it is about, and whether it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promise: Option<Verdict>,
}

/// One side.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// The median, where there are samples.
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    spread: Option<Spread>,
}

/// How far samples lie apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spread {
    samples: usize,
    p10: f64,
    p90: f64,
    p99: f64,
}

/// The other side.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Beside {
    name: String,
    value: Value,
    /// Ours over the other's.
    ratio: f64,
}

/// What became of a promise.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Of the promise.
    pub id: String,
    limit: String,
    /// Whether the figure keeps it.
    pub is_kept: bool,
}

impl Figure {
    /// A figure of time or of size.
    pub fn new(name: impl Into<String>, ours: impl Into<Measured>) -> Figure {
        let Measured { value, unit } = ours.into();
        Figure { name: name.into(), unit, ours: value, beside: None, promise: None }
    }

    /// What it is measured beside, in the same run.
    pub fn beside(mut self, name: impl Into<String>, other: impl Into<Measured>) -> Figure {
        let Measured { value, .. } = other.into();
        // More digits than these are noise.
        let ratio = (self.ours.value / value.value * 1e4).round() / 1e4;
        self.beside = Some(Beside { name: name.into(), value, ratio });
        self
    }

    /// The promise that it is about. A promise of another kind than the figure is an error.
    pub fn promised(mut self, id: &str) -> Outcome<Figure> {
        let limit = promises::limit(id)?;
        let is_kept =
            self.keeps(limit).ok_or_else(|| format!("{}: {limit} is no limit for it", self.name))?;
        self.promise = Some(Verdict { id: id.to_owned(), limit: limit.to_string(), is_kept });
        Ok(self)
    }

    /// Whether it keeps to a limit. `None` if the limit is of another kind.
    pub fn keeps(&self, limit: Limit) -> Option<bool> {
        let ratio = self.beside.as_ref().map(|beside| beside.ratio);
        match (limit, ratio) {
            (Limit::Times(most), Some(ratio)) => Some(ratio <= most),
            (Limit::Speed(least), Some(ratio)) => Some(1.0 / ratio >= least),
            (Limit::AtMost(most, unit), _) if unit == self.unit => Some(self.ours.value <= most),
            _ => None,
        }
    }

    /// What was measured of a promise: a ratio, a speed or a size, as its limit is one.
    pub fn told(&self, limit: Limit) -> String {
        match (limit, &self.beside) {
            (Limit::Times(_), Some(beside)) => digits(beside.ratio),
            (Limit::Speed(_), Some(beside)) => digits(1.0 / beside.ratio),
            _ => self.unit.tell(self.ours.value),
        }
    }

    /// The two sides, for people.
    pub fn sides(&self) -> String {
        let ours = self.unit.tell(self.ours.value);
        match &self.beside {
            Some(Beside { name, value, .. }) => format!("{ours}; {name} {}", self.unit.tell(value.value)),
            None => ours,
        }
    }

    /// The heading above such lines.
    pub fn heading() -> String {
        format!("{:<64} {:>9} {:>9} {:>9} {:>8}", "", "median", "p90", "p99", "ratio")
    }
}

/// Some lines: ours, the other's, what was promised.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tell = |value| self.unit.tell(value);
        let line = |name: &str, value: &Value| {
            let late = |of: fn(&Spread) -> f64| value.spread.as_ref().map(of).map(tell).unwrap_or_default();
            format!(
                "{name:<64} {:>9} {:>9} {:>9}",
                tell(value.value),
                late(|all| all.p90),
                late(|all| all.p99)
            )
        };
        write!(f, "{}", line(&self.name, &self.ours))?;
        if let Some(Beside { name, value, ratio }) = &self.beside {
            write!(f, "\n{} {:>8}", line(&format!("  {name}"), value), format!("{ratio:.3}"))?;
        }
        match &self.promise {
            Some(Verdict { limit, is_kept: true, .. }) => write!(f, "\n  kept: {limit}"),
            Some(Verdict { limit, is_kept: false, .. }) => write!(f, "\n  NOT KEPT: {limit}"),
            None => Ok(()),
        }
    }
}

/// What a figure can be made of.
pub struct Measured {
    value: Value,
    unit: Unit,
}

/// A size.
#[derive(Clone, Copy)]
pub struct Bytes(pub u64);

impl From<&Samples> for Measured {
    fn from(samples: &Samples) -> Measured {
        let at = |share| microseconds(samples.percentile(share));
        let spread = Spread { samples: samples.count(), p10: at(0.1), p90: at(0.9), p99: at(0.99) };
        Measured { value: Value { value: at(0.5), spread: Some(spread) }, unit: Unit::Microseconds }
    }
}

impl From<Duration> for Measured {
    fn from(duration: Duration) -> Measured {
        Measured { value: Value { value: microseconds(duration), spread: None }, unit: Unit::Microseconds }
    }
}

impl From<Bytes> for Measured {
    fn from(Bytes(bytes): Bytes) -> Measured {
        Measured { value: Value { value: bytes as f64, spread: None }, unit: Unit::Bytes }
    }
}

/// Rounded to the nanosecond: more digits are noise, and files are compared by people.
fn microseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{KIB, SECOND};

    fn figure(ours: u64, other: u64) -> Figure {
        Figure::new("a", Duration::from_millis(ours)).beside("b", Duration::from_millis(other))
    }

    #[test]
    fn a_figure_that_is_just_at_its_limit_keeps_it() {
        assert_eq!(figure(12, 10).keeps(Limit::Times(1.2)), Some(true));
        assert_eq!(figure(121, 100).keeps(Limit::Times(1.2)), Some(false));
        assert_eq!(figure(10, 8).keeps(Limit::Speed(0.8)), Some(true));
        assert_eq!(figure(101, 80).keeps(Limit::Speed(0.8)), Some(false));
        assert_eq!(figure(1000, 1).keeps(Limit::AtMost(SECOND, Unit::Microseconds)), Some(true));
        assert_eq!(figure(1001, 1).keeps(Limit::AtMost(SECOND, Unit::Microseconds)), Some(false));
    }

    #[test]
    fn a_limit_of_another_kind_is_none_for_a_figure() {
        let alone = Figure::new("a", Bytes(1));
        assert_eq!(alone.keeps(Limit::Times(1.0)), None);
        assert_eq!(alone.keeps(Limit::AtMost(SECOND, Unit::Microseconds)), None);
        assert_eq!(alone.keeps(Limit::AtMost(KIB, Unit::Bytes)), Some(true));
    }

    #[test]
    fn a_figure_is_read_from_a_file_as_it_was_written() {
        let samples: Samples = [1, 2, 3].map(Duration::from_millis).into_iter().collect();
        let figure =
            Figure::new("a", &samples).beside("b", Duration::from_millis(4)).promised("call-echo").unwrap();
        let text = serde_json::to_string(&figure).unwrap();
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Figure>(&text).unwrap()).unwrap(), text);
    }
}

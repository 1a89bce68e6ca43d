//! The text form of Prometheus, version 0.0.4.

use std::fmt::{self, Display, Write};

use super::calls::{BUCKETS, Histogram};

/// A text of families.
#[derive(Default)]
pub struct Text(String);

/// A family that has been begun; its samples follow.
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

/// What a sample is told apart by.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    /// A number that rises until the service is started again.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// A number as it is now.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// Durations in buckets.
    pub fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "histogram", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        self.0 += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family { text: &mut self.0, name }
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// A sample of the family's own name.
    pub fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    /// The samples of a histogram.
    pub fn durations(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        let ends = BUCKETS.iter().map(|(_, end)| *end).chain(["+Inf"]);
        let mut all = 0;
        for (end, count) in ends.zip(histogram.cumulative()) {
            self.line("_bucket", labels, Some(("le", end)), count);
            all = count;
        }
        let sum = histogram.sum();
        self.line("_sum", labels, None, format_args!("{}.{:06}", sum / 1_000_000, sum % 1_000_000));
        self.line("_count", labels, None, all);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, last: Option<(&str, &str)>, value: impl Display) {
        *self.text += self.name;
        *self.text += suffix;
        let mut between = "{";
        for (name, value) in labels.iter().copied().chain(last) {
            // A text takes all that is written.
            let _ = write!(self.text, "{between}{name}=\"{}\"", Escaped(value));
            between = ",";
        }
        let end = if between == "{" { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }
}

/// The value of a label.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str(r"\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str(r"\n")?,
                plain => f.write_char(plain)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::calls::Calls;
    use std::time::Duration;

    #[test]
    fn a_family_begins_with_its_help_and_its_type() {
        let mut text = Text::default();
        text.gauge("systems", "What\nis \\ there.").sample(&[], 3);
        assert_eq!(text.finish(), "# HELP systems What\\nis \\\\ there.\n# TYPE systems gauge\nsystems 3\n");
    }

    #[test]
    fn the_value_of_a_label_cannot_end_it() {
        let mut text = Text::default();
        text.counter("x", "").sample(&[("a", "one\"} 1\n\\"), ("b", "")], 7);
        assert!(text.finish().ends_with("x{a=\"one\\\"} 1\\n\\\\\",b=\"\"} 7\n"));
    }

    #[test]
    fn a_histogram_ends_with_all_that_there_are() {
        let calls = Calls::new();
        calls.count("", true, Duration::from_micros(70));
        calls.count("", true, Duration::from_micros(1_500_000));
        let mut text = Text::default();
        let other = calls.all().last().unwrap();
        text.histogram("took_seconds", "").durations(&[("method", other.name)], &other.durations);
        let lines: Vec<String> = text.finish().lines().skip(2).map(str::to_owned).collect();
        assert_eq!(lines[0], "took_seconds_bucket{method=\"other\",le=\"0.00005\"} 0");
        assert_eq!(lines[1], "took_seconds_bucket{method=\"other\",le=\"0.0002\"} 1");
        assert_eq!(
            lines[BUCKETS.len()..],
            [
                "took_seconds_bucket{method=\"other\",le=\"+Inf\"} 2",
                "took_seconds_sum{method=\"other\"} 1.500070",
                "took_seconds_count{method=\"other\"} 2",
            ]
        );
    }
}

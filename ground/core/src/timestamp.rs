//! Points in time as documents write them: RFC 3339 in UTC, to 100 ns.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Formats a point in time.
pub fn format(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let ticks = since.subsec_nanos() / 100;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ticks:07}Z")
}

/// The date of a day since 1970, by counting in years that begin in March, so that leap days come last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points_in_time_are_written_as_everybody_writes_them() {
        for (seconds, nanoseconds, expected) in [
            (0, 0, "1970-01-01T00:00:00.0000000Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.0000000Z"),
            (1_767_323_045, 123_456_789, "2026-01-02T03:04:05.1234567Z"),
            (4_107_542_399, 999_999_999, "2100-02-28T23:59:59.9999999Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.0000000Z"),
        ] {
            assert_eq!(format(UNIX_EPOCH + Duration::new(seconds, nanoseconds)), expected);
        }
    }
}

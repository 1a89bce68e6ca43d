//! The forms that strings must have although their Rust type is `String`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Whether `text` is padded standard base64.
pub(crate) fn is_base64(text: &str) -> bool {
    STANDARD.decode(text).is_ok()
}

/// Whether `text` is an RFC 3339 date and time, `2026-01-02T03:04:05.1234567Z`. Days are not counted per month:
/// this catches wrong forms, not wrong clocks.
pub(crate) fn is_date_time(text: &str) -> bool {
    let Some((date, rest)) = split_at(text, 10) else { return false };
    let Some((time, rest)) = split_at(rest, 9) else { return false };
    let date = fields(date, b"dddd-dd-dd")
        .is_some_and(|[_, month, day]| (1..=12).contains(&month) && (1..=31).contains(&day));
    let time = time.starts_with(['T', 't'])
        && fields(&time[1..], b"dd:dd:dd")
            .is_some_and(|[hour, minute, second]| hour <= 23 && minute <= 59 && second <= 60);
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return false;
            }
            zone
        }
        None => rest,
    };
    let zone = matches!(zone, "Z" | "z")
        || zone.starts_with(['+', '-'])
            && fields(&zone[1..], b"dd:dd").is_some_and(|[hour, minute]| hour <= 23 && minute <= 59);
    date && time && zone
}

/// Like `str::split_at`, but `None` where that would panic.
fn split_at(text: &str, at: usize) -> Option<(&str, &str)> {
    text.split_at_checked(at)
}

/// The numbers of a text laid out as `layout`, in which `d` is a digit and anything else stands for itself.
fn fields<const N: usize>(text: &str, layout: &[u8]) -> Option<[u32; N]> {
    let mut values = [0; N];
    let mut field = 0;
    if text.len() != layout.len() {
        return None;
    }
    for (&byte, &expected) in text.as_bytes().iter().zip(layout) {
        match expected {
            b'd' if byte.is_ascii_digit() => {
                values[field] = values[field] * 10 + u32::from(byte - b'0');
            }
            b'd' => return None,
            separator if byte == separator => field += 1,
            _ => return None,
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::{is_base64, is_date_time};

    #[test]
    fn date_times_have_the_form_of_rfc_3339() {
        for good in [
            "2026-01-02T03:04:05Z",
            "2026-01-02t03:04:05.1234567z",
            "2026-12-31T23:59:60+01:00",
            "0001-01-01T00:00:00.0-23:59",
        ] {
            assert!(is_date_time(good), "{good}");
        }
        for bad in [
            "",
            "2026-01-02",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05.Z",
            "2026-13-02T03:04:05Z",
            "2026-01-00T03:04:05Z",
            "2026-01-02T24:04:05Z",
            "2026-01-02T03:60:05Z",
            "2026-01-02T03:04:05+0100",
            "2026-01-02T03:04:05+01:60",
            "2026-01-02T03:04:05Zx",
            "26-01-02T03:04:05Z",
            "2026-01-0éT03:04:05Z",
        ] {
            assert!(!is_date_time(bad), "{bad}");
        }
    }

    #[test]
    fn base64_is_padded() {
        assert!(is_base64("") && is_base64("3q2+7w=="));
        assert!(!is_base64("3q2+7w") && !is_base64("3q2-7w==") && !is_base64("a b="));
    }
}

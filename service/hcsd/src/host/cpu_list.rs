//! The kernel's list syntax for processors and nodes: `0-3,8,10-11`.
//!
//! [`super::topology`] and [`super::cpu_groups`] read and write it. The grouped form `0-31:2/8` is written by
//! people for the kernel and never written by the kernel; it is refused here.

use std::io;

/// More than any machine has; keeps a damaged file from asking for gigabytes.
const HIGHEST: u32 = 65_535;

/// Reads a list into ascending order without repetition. Empty text is an empty list.
pub fn parse(text: &str) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in text.trim().split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first, text)?, number(last, text)?);
        if first > last || last > HIGHEST {
            return Err(bad(text));
        }
        numbers.extend(first..=last);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// Writes numbers as a list, with neighbours joined to ranges.
pub fn format(numbers: &[u32]) -> String {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let ranges: Vec<String> = sorted
        .chunk_by(|left, right| left.checked_add(1) == Some(*right))
        .map(|run| match run {
            [one] => one.to_string(),
            _ => format!("{}-{}", run[0], run[run.len() - 1]),
        })
        .collect();
    ranges.join(",")
}

fn number(text: &str, whole: &str) -> io::Result<u32> {
    text.trim().parse().map_err(|_| bad(whole))
}

fn bad(text: &str) -> io::Error {
    let shown: String = text.trim().chars().take(80).collect();
    io::Error::new(io::ErrorKind::InvalidData, format!("\"{shown}\" is not a list of processors"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_order_and_once() {
        assert_eq!(parse("0-3,8,10-11\n").unwrap(), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(parse("5,1,1-2").unwrap(), [1, 2, 5]);
        assert_eq!(parse("\n").unwrap(), [0u32; 0]);
    }

    #[test]
    fn damaged_lists_are_refused() {
        for text in ["x", "3-1", "0-4294967295", "1-", "-1", "0-7:2/4"] {
            assert_eq!(parse(text).unwrap_err().kind(), io::ErrorKind::InvalidData, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(format(&[11, 0, 1, 2, 8, 10]), "0-2,8,10-11");
        assert_eq!(format(&[]), "");
        assert_eq!(parse(&format(&[7, 3, 4])).unwrap(), [3, 4, 7]);
    }
}

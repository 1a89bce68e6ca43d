//! "Did you mean": the known name that a misspelt one most resembles.
//!
//! Used by the checker for unknown members and for long enumerations, and for the names of settings. A suggestion must never be silly, so
//! only names within two edits count, and no more edits than half the name.

/// The candidate that equals `name` but for case, or else the nearest one within two edits.
pub fn nearest(name: &str, candidates: impl Iterator<Item = &'static str> + Clone) -> Option<&'static str> {
    if let Some(same) = candidates.clone().find(|candidate| candidate.eq_ignore_ascii_case(name)) {
        return Some(same);
    }
    candidates
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= 2)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 2 && distance * 2 <= candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The `count` candidates most like `name`: those that begin with it first, then by edits; ties keep the order
/// of declaration.
pub(crate) fn ranked(
    name: &str,
    candidates: impl Iterator<Item = &'static str>,
    count: usize,
) -> Vec<&'static str> {
    // The name comes from outside: more than this says nothing about likeness and only costs time.
    let name: String = name.chars().take(64).collect();
    let begins = |candidate: &str| {
        candidate
            .get(..name.len())
            .is_some_and(|start| !start.is_empty() && start.eq_ignore_ascii_case(&name))
    };
    let mut all: Vec<_> = candidates.collect();
    all.sort_by_cached_key(|candidate| (!begins(candidate), distance(&name, candidate)));
    all.truncate(count);
    all
}

/// Edits between two names, case ignored: insert, delete, replace, swap of neighbours (each counts one).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().map(|c| c.to_ascii_lowercase()).collect();
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    // rows[i][j] is the distance between the first i characters of a and the first j of b.
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest, ranked};

    const NAMES: [&str; 5] = ["Uefi", "UseUtc", "Id", "LinuxKernelDirect", "Path"];

    #[test]
    fn edits_are_counted() {
        assert_eq!(distance("Uefi", "Uefi"), 0);
        assert_eq!(distance("Uefii", "Uefi"), 1);
        assert_eq!(distance("Uefi", "Ueif"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn only_plausible_names_are_suggested() {
        let near = |name| nearest(name, NAMES.iter().copied());
        assert_eq!(near("Uefii"), Some("Uefi"));
        assert_eq!(near("USEUTC"), Some("UseUtc"));
        assert_eq!(near("linuxkerneldirect"), Some("LinuxKernelDirect"));
        assert_eq!(near("X"), None);
        assert_eq!(near("Controllers"), None);
        assert_eq!(ranked("Pth", NAMES.iter().copied(), 1), ["Path"]);
        assert_eq!(ranked("linux", NAMES.iter().copied(), 2), ["LinuxKernelDirect", "Id"]);
    }
}

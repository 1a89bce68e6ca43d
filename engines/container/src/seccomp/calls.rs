//! Names and numbers of system calls.

use std::{collections::BTreeMap, sync::LazyLock};

use super::Architecture;

const TABLE: &str = include_str!("calls.txt");

type Numbers = [Option<u32>; Architecture::ALL.len()];

static NUMBERS: LazyLock<BTreeMap<&str, Numbers>> =
    LazyLock::new(|| TABLE.lines().filter_map(line).collect());

/// A line of the table; `-` stands where an architecture lacks the call.
fn line(line: &'static str) -> Option<(&'static str, Numbers)> {
    let mut words = line.split_whitespace();
    let name = words.next().filter(|word| *word != "#")?;
    Some((name, std::array::from_fn(|_| words.next()?.parse().ok())))
}

/// The number of a call, as a filter sees it.
pub(super) fn number(name: &str, architecture: Architecture) -> Option<u32> {
    let column = Architecture::ALL.iter().position(|one| *one == architecture)?;
    NUMBERS.get(name)?[column].map(|number| number + architecture.first_number())
}

/// Whether any architecture has a call of this name.
pub(crate) fn is_known(name: &str) -> bool {
    NUMBERS.contains_key(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_agrees_with_the_c_library() {
        assert!(TABLE.lines().all(|line| line.split_whitespace().filter(|word| *word != "#").count() >= 6));
        assert_eq!(NUMBERS.len(), TABLE.lines().count() - 1);
        for (name, own) in [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("mseal", libc::SYS_mseal),
            ("landlock_create_ruleset", libc::SYS_landlock_create_ruleset),
            ("ptrace", libc::SYS_ptrace),
            ("kexec_file_load", libc::SYS_kexec_file_load),
        ] {
            assert_eq!(number(name, Architecture::NATIVE).map(i64::from), Some(own), "{name}");
        }
    }

    #[test]
    fn no_number_has_two_names() {
        for architecture in Architecture::ALL {
            let numbers: Vec<u32> = NUMBERS.keys().filter_map(|name| number(name, architecture)).collect();
            let distinct: std::collections::BTreeSet<u32> = numbers.iter().copied().collect();
            assert_eq!(numbers.len(), distinct.len(), "{architecture:?}");
        }
    }
}

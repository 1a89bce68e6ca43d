//! What `llvm-cov` tells of lines, and what `cargo` tells of programs.

use std::{
    collections::BTreeMap,
    fs,
    ops::Add,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::Outcome;

/// Lines with code, and those of them that were gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// By some test.
    pub gone_through: usize,
    /// In all.
    pub all: usize,
}

impl Lines {
    /// How many of a hundred.
    pub fn percent(self) -> f64 {
        100.0 * self.gone_through as f64 / self.all.max(1) as f64
    }
}

impl Add for Lines {
    type Output = Lines;

    fn add(self, other: Lines) -> Lines {
        Lines { gone_through: self.gone_through + other.gone_through, all: self.all + other.all }
    }
}

/// Reads the form `lcov`: `SF:` names a file, `DA:` a line and how often it was gone through. Only files of the tree count, and
/// of each only what comes before its tests.
pub fn of(told: &str, root: &Path) -> Outcome<BTreeMap<PathBuf, Lines>> {
    let mut files = BTreeMap::new();
    let mut now: Option<(PathBuf, usize)> = None;
    for line in told.lines() {
        if let Some(name) = line.strip_prefix("SF:") {
            let file = PathBuf::from(name);
            let is_tests = name.ends_with("_tests.rs") || name.ends_with("/tests.rs");
            now = match file.starts_with(root) && !is_tests {
                true => {
                    let text = fs::read_to_string(&file).map_err(|error| format!("{name}: {error}"))?;
                    Some((file, first_of_tests(&text)))
                }
                false => None,
            };
        } else if let (Some(said), Some((file, end))) = (line.strip_prefix("DA:"), &now) {
            let (number, times) = said.split_once(',').ok_or_else(|| format!("llvm-cov said {line:?}"))?;
            let number: usize = number.parse().map_err(|error| format!("llvm-cov said {line:?}: {error}"))?;
            if number < *end {
                let own: &mut Lines = files.entry(file.clone()).or_default();
                own.all += 1;
                own.gone_through += usize::from(times != "0");
            }
        }
    }
    Ok(files)
}

/// The line at which the tests of a file begin, or one behind all.
fn first_of_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let begin = lines.windows(2).position(|two| two[0] == "#[cfg(test)]" && two[1] == "mod tests {");
    begin.map_or(usize::MAX, |index| index + 1)
}

/// The programs in what `cargo --message-format json` says.
pub fn executables(said: &str) -> Vec<PathBuf> {
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::TemporaryFolder;

    #[test]
    fn lines_before_the_tests_of_files_of_the_tree_count() {
        let folder = TemporaryFolder::new("hcs-coverage").unwrap();
        let file = folder.path().join("a.rs");
        fs::write(&file, "fn a() {}\nfn b() {}\n#[cfg(test)]\nmod tests {\n}\n").unwrap();
        let told = format!(
            "SF:{}\nFN:1,a\nDA:1,7\nDA:2,0\nDA:4,1\nend_of_record\nSF:/elsewhere/b.rs\nDA:1,1\nend_of_record\n",
            file.display()
        );
        let found = of(&told, folder.path()).unwrap();
        assert_eq!(found, BTreeMap::from([(file, Lines { gone_through: 1, all: 2 })]));
    }

    #[test]
    fn a_file_without_tests_counts_whole() {
        assert_eq!(first_of_tests("fn a() {}\n#[cfg(test)]\nfn b() {}\n"), usize::MAX);
        assert_eq!(first_of_tests("fn a() {}\n#[cfg(test)]\nmod tests {\n"), 2);
    }

    #[test]
    fn programs_are_what_cargo_says_that_can_be_run() {
        let said = r#"{"reason":"compiler-artifact","executable":"/t/a"}
            {"reason":"compiler-artifact","executable":null}
            {"reason":"build-finished"}"#;
        assert_eq!(executables(said), [PathBuf::from("/t/a")]);
    }
}

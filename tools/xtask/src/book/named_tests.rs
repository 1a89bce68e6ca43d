//! Tests that pages name for what they claim. `escapes::a_name` is an end-to-end test of the file `escapes`; a test of a
//! crate is named with its file, `wire/mux/src/lib.rs::a_name`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Page, links::outside_of_code};

const END_TO_END: &str = "tests/tests/e2e";

/// Pages whose claims are held by tests.
const CLAIMS: &[&str] =
    &["docs/src/explanation/security-model.md", "docs/src/explanation/threat-model.md", "SPECIFICATION.md"];

/// The tests that are named and not there.
pub fn missing(root: &Path, pages: &[Page]) -> Vec<String> {
    let mut found = Vec::new();
    for page in pages.iter().filter(|page| CLAIMS.contains(&page.path.as_str())) {
        for (line, (file, name)) in named(&page.text) {
            if !files(root, file).iter().any(|file| has(file, name)) {
                found.push(format!("{}:{line}: there is no test {file}::{name}", page.path));
            }
        }
    }
    found
}

/// The tests that a text names, with the numbers of their lines.
fn named(text: &str) -> Vec<(usize, (&str, &str))> {
    let mut found = Vec::new();
    for (number, line) in outside_of_code(text) {
        // What stands between backticks is every second piece.
        let tests = line.split('`').skip(1).step_by(2).filter_map(|span| span.rsplit_once("::"));
        found.extend(tests.map(|test| (number, test)));
    }
    found
}

/// The files that a test may be in.
fn files(root: &Path, file: &str) -> Vec<PathBuf> {
    if file.contains('/') {
        return vec![root.join(file)];
    }
    let mut files = vec![root.join(END_TO_END).join(format!("{file}.rs"))];
    let folder = root.join(END_TO_END).join(file);
    files.extend(fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()));
    files
}

fn has(file: &Path, name: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("fn {name}(")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_not_there_is_told() {
        let folder = crate::folder::TemporaryFolder::new("xtask-named-tests").unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join(END_TO_END).join("malformed")).unwrap();
        fs::write(root.join(END_TO_END).join("escapes.rs"), "#[test]\nfn one() {}\n").unwrap();
        fs::write(root.join(END_TO_END).join("malformed/mod.rs"), "fn two() {}\n").unwrap();
        let text = "| a | `escapes::one` `malformed::two` |\n| b | `escapes::two`, `escapes.rs` |\n";
        let page = Page { path: CLAIMS[1].to_owned(), text: text.to_owned() };
        let expected = format!("{}:2: there is no test escapes::two", CLAIMS[1]);
        assert_eq!(missing(root, &[page]), [expected]);
    }
}

//! The pages: those of the book, and the READMEs beside the code.

use std::{fs, path::Path};

use super::{Page, SOURCE, links, text_of};
use crate::Outcome;

/// The table of contents, from the root of the tree.
const CONTENTS: &str = "docs/src/SUMMARY.md";

/// All pages, those of the book first.
pub fn read(root: &Path) -> Outcome<Vec<Page>> {
    let mut paths = Vec::new();
    walk(root, SOURCE, &mut paths)?;
    for name in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SPECIFICATION.md"] {
        paths.push(name.to_owned());
    }
    for entry in fs::read_dir(root).map_err(|error| format!("{}: {error}", root.display()))?.flatten() {
        if entry.path().join("README.md").is_file() {
            paths.push(format!("{}/README.md", entry.file_name().to_string_lossy()));
        }
    }
    paths.into_iter().map(|path| Ok(Page { text: text_of(&root.join(&path))?, path })).collect()
}

/// Adds the pages of a folder and below.
fn walk(root: &Path, folder: &str, paths: &mut Vec<String>) -> Outcome {
    let entries = fs::read_dir(root.join(folder)).map_err(|error| format!("{folder}: {error}"))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    for name in names {
        let path = format!("{folder}/{name}");
        if root.join(&path).is_dir() {
            walk(root, &path, paths)?;
        } else if name.ends_with(".md") {
            paths.push(path);
        }
    }
    Ok(())
}

/// The pages of the book that nobody finds.
pub fn not_in_contents(pages: &[Page]) -> Vec<String> {
    let Some(contents) = pages.iter().find(|page| page.path == CONTENTS) else {
        return vec![format!("there is no {CONTENTS}")];
    };
    let listed: Vec<String> =
        links::of(&contents.text).into_iter().map(|(_, link)| format!("{SOURCE}/{link}")).collect();
    pages
        .iter()
        .filter(|page| page.path.starts_with(SOURCE) && page.path != CONTENTS)
        .filter(|page| !listed.contains(&page.path))
        .map(|page| format!("{} is not in {CONTENTS}", page.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str, text: &str) -> Page {
        Page { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_page_that_is_not_in_the_contents_is_told() {
        let pages = [
            page("docs/src/SUMMARY.md", "# Contents\n\n- [One](one.md)\n  - [Two](more/two.md)\n"),
            page("docs/src/more/two.md", ""),
            page("docs/src/one.md", ""),
            page("docs/src/three.md", ""),
            page("README.md", ""),
        ];
        assert_eq!(not_in_contents(&pages), ["docs/src/three.md is not in docs/src/SUMMARY.md"]);
    }
}

//! Links from page to page, with their places in a page, and files that pages include.
//!
//! A link of the book must stay in the book, because there is nothing else beside it when it is built.

use std::path::{Component, Path, PathBuf};

use super::{Page, SOURCE, text_of};

/// The links of a page that lead to nothing.
pub fn broken(root: &Path, pages: &[Page]) -> Vec<String> {
    let mut found = Vec::new();
    for page in pages {
        let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
        for (line, link) in of(&page.text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            if let Err(why) = follow(root, page, folder, &link) {
                found.push(format!("{}:{line}: {link}: {why}", page.path));
            }
        }
        for (line, file) in included(&page.text) {
            if !root.join(folder).join(&file).is_file() {
                found.push(format!("{}:{line}: the included file {file} is not there", page.path));
            }
        }
    }
    found
}

fn follow(root: &Path, page: &Page, folder: &Path, link: &str) -> Result<(), String> {
    let (file, place) = link.split_once('#').map_or((link, None), |(file, place)| (file, Some(place)));
    let target = if file.is_empty() { PathBuf::from(&page.path) } else { plain(&folder.join(file)) };
    if !root.join(&target).exists() {
        return Err("there is nothing".to_owned());
    }
    if page.path.starts_with(SOURCE) && !target.starts_with(SOURCE) {
        return Err("it leads out of the book; name the file instead".to_owned());
    }
    let Some(place) = place else { return Ok(()) };
    let text = text_of(&root.join(&target))?;
    if outside_of_code(&text).any(|(_, line)| heading(line).is_some_and(|heading| heading == place)) {
        Ok(())
    } else {
        Err(format!("{} has no such heading", target.display()))
    }
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The place of a heading, as the book names it.
fn heading(line: &str) -> Option<String> {
    let text = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept = text.trim().chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
        _ => None,
    });
    Some(kept.collect())
}

/// The links of a text, with the numbers of their lines.
pub fn of(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in outside_of_code(text) {
        // What stands between backticks is every second piece.
        let bare: String = line.split('`').step_by(2).collect();
        for piece in bare.split("](").skip(1) {
            if let Some((link, _)) = piece.split_once(')') {
                found.push((number, link.to_owned()));
            }
        }
    }
    found
}

/// The files that a text includes, with the numbers of their lines.
fn included(text: &str) -> Vec<(usize, String)> {
    let files = |(number, line): (usize, &str)| {
        let inside = line.split_once("{{#include ")?.1.split_once("}}")?.0;
        let file = inside.split_once(':').map_or(inside, |(file, _)| file);
        Some((number + 1, file.trim().to_owned()))
    };
    text.lines().enumerate().filter_map(files).collect()
}

/// The lines of a text that are not in a block of code, numbered from 1.
pub fn outside_of_code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        (!inside && !fence).then_some((index + 1, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code_only() {
        let text = "a [b](c.md) and [`d`](e.md#f), not `[g](h)`\n```c\n[i](j)\n```\n[k](l.md)\n";
        let found = of(text);
        let expected = [(1, "c.md"), (1, "e.md#f"), (5, "l.md")];
        assert_eq!(found, expected.map(|(line, link)| (line, link.to_owned())));
    }

    #[test]
    fn a_heading_has_the_place_that_the_book_gives_it() {
        assert_eq!(heading("## What it costs, in `µs`").as_deref(), Some("what-it-costs-in-µs"));
        assert_eq!(heading("#hashtag"), None);
        assert_eq!(heading("plain"), None);
    }

    #[test]
    fn a_link_must_lead_somewhere_within_the_book() {
        let folder = crate::folder::TemporaryFolder::new("xtask-links").unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join(SOURCE)).unwrap();
        std::fs::write(root.join("docs/src/one.md"), "# One\n## Here\n").unwrap();
        std::fs::write(root.join("README.md"), "").unwrap();
        let text = "[a](one.md#here) [b](one.md#there) [c](two.md) [d](../../README.md) [e](https://x.y)\n\
                    {{#include ../../README.md:3}}\n{{#include gone.c}}\n";
        let page = Page { path: "docs/src/page.md".to_owned(), text: text.to_owned() };
        assert_eq!(
            broken(root, &[page]),
            [
                "docs/src/page.md:1: one.md#there: docs/src/one.md has no such heading",
                "docs/src/page.md:1: two.md: there is nothing",
                "docs/src/page.md:1: ../../README.md: it leads out of the book; name the file instead",
                "docs/src/page.md:3: the included file gone.c is not there",
            ]
        );
    }
}

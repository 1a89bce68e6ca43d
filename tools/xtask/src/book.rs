//! `cargo xtask book`: checks that the documentation holds together, then builds it.
//!
//! What is checked, in `book/`: every page is in the table of contents; every link, and every file that a page includes, is
//! there; every test that a page names is there. Commands and programs of the pages are run by the end-to-end tests.

mod links;
mod named_tests;
mod pages;

use std::{fs, path::Path};

use crate::{Outcome, command::Line, workspace::Workspace};

/// The folder of the book.
const BOOK: &str = "docs";
/// The folder of its pages.
const SOURCE: &str = "docs/src";

/// A page: its path from the root of the tree, and its text.
struct Page {
    path: String,
    text: String,
}

/// Checks and builds.
pub fn run() -> Outcome {
    let workspace = Workspace::load()?;
    let pages = pages::read(&workspace.root)?;
    let mut wrong = pages::not_in_contents(&pages);
    wrong.extend(links::broken(&workspace.root, &pages));
    wrong.extend(named_tests::missing(&workspace.root, &pages));
    if !wrong.is_empty() {
        return Err(format!("the documentation does not hold together:\n  {}", wrong.join("\n  ")));
    }
    let program = workspace.tools().join("bin/mdbook");
    let target = workspace.target.join("book");
    let words = [program.as_path(), Path::new("build"), Path::new("--dest-dir"), &target, Path::new(BOOK)];
    let words: Vec<String> = words.iter().map(|word| word.display().to_string()).collect();
    Line::new(words.iter().map(String::as_str)).run_quietly(&workspace.root)?;
    println!("{} pages hold together; the book is {}/index.html", pages.len(), target.display());
    Ok(())
}

/// The text of a file, or why there is none.
fn text_of(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

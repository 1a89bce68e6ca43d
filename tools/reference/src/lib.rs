//! Writes the pages of `docs/src/reference` from what the product is made of, and compares them with it.
//!
//! `cargo xtask reference` does it, and a test of its own compares. Nothing is told twice: headers, document types, tables of
//! the engines and causes of errors are read where they are. What they do not say stands in tables here, and a table that lacks a line, or has one too many,
//! fails.
//!
//! ```text
//!   functions      every function of the C headers, and what is different from Windows
//!   documents      every type and member, and what becomes of it
//!   resource_paths what can be changed of a system that is there
//!   errors         the causes, their HRESULTs, and what to do
//!   events         what is told to callbacks
//!   environment    settings and variables
//!   command_line   what the programs say of themselves
//!   page           a page, and what makes text safe to stand in it
//! ```
#![forbid(unsafe_code)]

mod command_line;
mod documents;
mod environment;
mod errors;
mod events;
mod functions;
mod page;
mod resource_paths;

use std::{fs, path::Path};

use page::Page;

/// What can go wrong is told in lines for people.
pub type Outcome<T = ()> = Result<T, String>;

/// Where the pages are, from the root of the tree.
const FOLDER: &str = "docs/src/reference";

/// Where the headers are.
const HEADERS: &str = "apps/capi/include";

/// Writes the pages of the tree at `root`, with the help of this `hcs`.
pub fn write(root: &Path, program: &Path) -> Outcome {
    let folder = root.join(FOLDER);
    let pages = pages(root, program)?;
    write_to(&folder, &pages)?;
    println!("{} pages are written to {}", pages.len(), folder.display());
    Ok(())
}

/// Compares them.
pub fn check(root: &Path, program: &Path) -> Outcome {
    let folder = root.join(FOLDER);
    let pages = pages(root, program)?;
    compare(&folder, &pages)?;
    println!("{} pages of {} are as they should be", pages.len(), folder.display());
    Ok(())
}

fn pages(root: &Path, program: &Path) -> Outcome<Vec<Page>> {
    let headers = root.join(HEADERS);
    let mut pages = functions::pages(&headers)?;
    pages.extend(documents::pages()?);
    pages.push(resource_paths::page());
    pages.push(errors::page(&headers)?);
    pages.push(events::page());
    pages.push(environment::page());
    pages.push(command_line::page(program)?);
    Ok(pages)
}

/// The pages that were written before, by their names.
fn present(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let written = entries
        .filter(|entry| fs::read_to_string(entry.path()).is_ok_and(|text| text.starts_with(page::MARK)))
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = written.collect();
    names.sort();
    names
}

fn write_to(folder: &Path, pages: &[Page]) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    for name in present(folder) {
        if !pages.iter().any(|page| page.name == name) {
            fs::remove_file(folder.join(name)).map_err(failed)?;
        }
    }
    for page in pages {
        fs::write(folder.join(&page.name), page.text()).map_err(failed)?;
    }
    Ok(())
}

fn compare(folder: &Path, pages: &[Page]) -> Outcome {
    let mut wrong = Vec::new();
    for name in present(folder) {
        if !pages.iter().any(|page| page.name == name) {
            wrong.push(format!("{name} is of nothing any more"));
        }
    }
    for page in pages {
        let found = fs::read_to_string(folder.join(&page.name)).unwrap_or_default();
        let wanted = page.text();
        let same = found.lines().zip(wanted.lines()).take_while(|(found, wanted)| found == wanted).count();
        if found != wanted {
            let line = |text: &str| text.lines().nth(same).unwrap_or("the end").to_owned();
            wrong.push(format!(
                "{}, line {}: found `{}`, it should be `{}`",
                page.name,
                same + 1,
                line(&found),
                line(&wanted)
            ));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the reference is not what the code says; write it anew with `cargo xtask reference`\n  {}",
        wrong.join("\n  ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_found_right_and_what_is_changed_is_told() {
        let folder = std::env::temp_dir().join(format!("hcs-reference-{}", std::process::id()));
        let mut page = Page::new("one.md", "One", "About one.");
        write_to(&folder, &[page.clone(), Page::new("two.md", "Two", "About two.")]).unwrap();
        fs::write(folder.join("by-hand.md"), "# By hand\n").unwrap();
        assert!(compare(&folder, &[page.clone()]).unwrap_err().contains("two.md is of nothing any more"));
        write_to(&folder, &[page.clone()]).unwrap();
        assert_eq!(compare(&folder, &[page.clone()]), Ok(()));
        page.paragraph("More.");
        assert!(compare(&folder, &[page]).unwrap_err().contains("one.md, line 6"));
        assert!(folder.join("by-hand.md").is_file());
        fs::remove_dir_all(folder).unwrap();
    }
}

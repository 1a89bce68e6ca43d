//! The checked-in JSON Schema of the documents, which the types generate.

use std::fs;

use crate::{Outcome, command::Line, workspace::Workspace};

const FILE: &str = "ground/schema/hcs.schema.json";
const GENERATOR: &str = "cargo run --quiet --locked -p hcs-schema --example json_schema";

/// Writes the file.
pub fn write() -> Outcome {
    let workspace = Workspace::load()?;
    let text = Line::of(GENERATOR).output(&workspace.root)?;
    fs::write(workspace.root.join(FILE), text).map_err(|error| format!("{FILE}: {error}"))?;
    println!("{FILE} is written");
    Ok(())
}

/// Compares the file with what the types generate.
pub fn check() -> Outcome {
    let workspace = Workspace::load()?;
    let wanted = Line::of(GENERATOR).output(&workspace.root)?;
    let found = fs::read_to_string(workspace.root.join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
    match first_difference(&found, &wanted) {
        None => {
            println!("{FILE} is what the types say");
            Ok(())
        }
        Some((number, found, wanted)) => Err(format!(
            "{FILE}, line {number}: found `{found}`, the types say `{wanted}`; \
             write it anew with `cargo xtask schema`"
        )),
    }
}

/// The first line that differs: its number, and the line in either text.
fn first_difference<'a>(found: &'a str, wanted: &'a str) -> Option<(usize, &'a str, &'a str)> {
    const END: &str = "the end";
    if found == wanted {
        return None;
    }
    let (mut found, mut wanted) = (found.lines(), wanted.lines());
    for number in 1.. {
        match (found.next(), wanted.next()) {
            (None, None) => return Some((number, END, "another end of line")),
            (found, wanted) if found == wanted => {}
            (found, wanted) => {
                return Some((number, found.unwrap_or(END).trim(), wanted.unwrap_or(END).trim()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_told() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\n  b\nc\n", "a\n  d\nc\n"), Some((2, "b", "d")));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some((2, "the end", "b")));
        assert_eq!(first_difference("a", "a\n"), Some((2, "the end", "another end of line")));
    }
}

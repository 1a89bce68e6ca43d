//! The reference of the documentation, which `tools/reference` makes from headers, types, tables and the programs' own help.

use crate::{Outcome, command::Line, workspace::Workspace};

const BUILD: &str = "cargo build --quiet --locked -p hcs-cli -p hcs-reference";

/// Writes the pages.
pub fn write() -> Outcome {
    generate("write")
}

/// Compares the pages with what would be written.
pub fn check() -> Outcome {
    generate("check")
}

fn generate(what: &str) -> Outcome {
    let workspace = Workspace::load()?;
    Line::of(BUILD).run(&workspace.root)?;
    let generator = workspace.target.join("debug/hcs-reference").display().to_string();
    let hcs = workspace.target.join("debug/hcs").display().to_string();
    Line::new([generator.as_str(), what, &hcs]).run(&workspace.root)
}

//! The reference of the documentation, which `tools/reference` makes from headers, types, tables and the programs' own help. A
//! test of it, the step `reference` of `cargo xtask test`, compares them.

use crate::{Outcome, command::Line, workspace::Workspace};

const BUILD: &str = "cargo build --quiet --locked --workspace --bin hcs --bin hcs-reference";

/// Writes the pages.
pub fn write() -> Outcome {
    let workspace = Workspace::load()?;
    Line::of(BUILD).run(&workspace.root)?;
    let generator = workspace.target.join("debug/hcs-reference").display().to_string();
    let hcs = workspace.target.join("debug/hcs").display().to_string();
    Line::new([generator.as_str(), &hcs]).run(&workspace.root)
}

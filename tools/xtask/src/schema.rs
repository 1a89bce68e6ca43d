//! The checked-in JSON Schema of the documents, which the types generate. A test of `hcs-schema` compares them.

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

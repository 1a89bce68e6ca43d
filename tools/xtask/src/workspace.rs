//! The workspace as Cargo sees it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Outcome, command::Line};

/// What this tool must know of the workspace.
#[derive(Debug)]
pub struct Workspace {
    /// The folder of the tree.
    pub root: PathBuf,
    /// The folder of what is built.
    pub target: PathBuf,
    /// The crates.
    pub crates: Vec<Crate>,
}

/// A crate of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crate {
    /// Its folder, from the root.
    pub folder: PathBuf,
    /// The folders of the crates it depends on in any way, from the root; absolute if they are outside.
    pub dependencies: Vec<PathBuf>,
}

impl Workspace {
    /// Asks Cargo.
    pub fn load() -> Outcome<Workspace> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = Line::of("cargo metadata --no-deps --format-version 1").output(own)?;
        Workspace::parse(&text)
    }

    /// Reads what `cargo metadata --no-deps` prints.
    pub fn parse(text: &str) -> Outcome<Workspace> {
        let metadata: Value =
            serde_json::from_str(text).map_err(|error| format!("cargo metadata: {error}"))?;
        let root = PathBuf::from(string(&metadata, "workspace_root")?);
        let below =
            |folder: &str| Path::new(folder).strip_prefix(&root).unwrap_or(Path::new(folder)).to_owned();
        let mut crates = Vec::new();
        for package in array(&metadata, "packages")? {
            let manifest = string(package, "manifest_path")?;
            let dependencies = array(package, "dependencies")?.iter().filter_map(|it| it["path"].as_str());
            crates.push(Crate {
                folder: below(manifest.trim_end_matches("Cargo.toml").trim_end_matches('/')),
                dependencies: dependencies.map(below).collect(),
            });
        }
        Ok(Workspace { target: string(&metadata, "target_directory")?.into(), root, crates })
    }

    /// Where `cargo build --release` puts programs and libraries.
    pub fn release(&self) -> PathBuf {
        self.target.join("release")
    }

    /// Where `install` puts the tools that Cargo builds; the user's own are left alone.
    pub fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }
}

fn string<'a>(value: &'a Value, member: &str) -> Outcome<&'a str> {
    value[member].as_str().ok_or_else(|| format!("cargo metadata: there is no {member}"))
}

fn array<'a>(value: &'a Value, member: &str) -> Outcome<&'a Vec<Value>> {
    value[member].as_array().ok_or_else(|| format!("cargo metadata: there is no {member}"))
}

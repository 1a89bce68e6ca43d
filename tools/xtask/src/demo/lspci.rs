//! `lspci` for a guest that has no libraries: the host's program, with those that it needs.

use std::{fs, path::Path};

use crate::{Outcome, command::Line, host};

/// Names of vendors and devices, wherever the host has them.
const NAMES: &str = "/usr/share/misc/pci.ids";

/// Puts it below a root.
pub fn put(root: &Path) -> Outcome {
    let program = host::program("lspci").ok_or("there is no lspci")?;
    let program = program.display().to_string();
    let needed = Line::new(["ldd", &program]).output(Path::new("/"))?;
    let libraries = needed.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain([program.as_str(), NAMES]) {
        copy(root, file).map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(())
}

fn copy(root: &Path, file: &str) -> std::io::Result<()> {
    let Some(place) = file.strip_prefix('/').map(|file| root.join(file)) else { return Ok(()) };
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(file, place).map(|_| ())
}

//! Paths of this host as documents want them: absolute, and text.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The absolute path. The file need not be there.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::io(&error, &path.display().to_string()))
}

/// The same as text.
pub fn text(path: &Path) -> Result<String, Failure> {
    let absolute = absolute(path)?;
    let text = absolute.to_str().ok_or_else(|| Failure::new(format!("{} is no text", path.display())))?;
    Ok(text.to_owned())
}

//! What is mounted, as the kernel tells it.

use std::path::{Path, PathBuf};

use hcs_core::{Error, mountinfo};

/// The places at which something is mounted, in the order in which it was.
pub fn places() -> Result<Vec<PathBuf>, Error> {
    Ok(mountinfo::points(&mountinfo::read()?).collect())
}

/// Whether something is mounted at a place.
pub fn has(place: &Path) -> Result<bool, Error> {
    Ok(places()?.iter().any(|mounted| mounted == place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_mounted() {
        assert!(has(Path::new("/proc")).unwrap());
        assert!(!has(Path::new("/proc/self")).unwrap());
    }
}

//! The lock on a run folder, by which a service is known to live wherever its settings put it.
//!
//! Services share it: one that is being replaced may end after the next has begun. Who wants to clean up asks for it alone.

use std::{fs::File, io, path::Path};

use rustix::fs::{FlockOperation, flock};

/// Takes it, until the file is dropped.
pub fn take(run_folder: &Path) -> io::Result<File> {
    let folder = File::open(run_folder)?;
    flock(&folder, FlockOperation::NonBlockingLockShared)?;
    Ok(folder)
}

/// Whether a service holds it. What cannot be looked at counts as held, unless it is not there.
pub fn is_held(run_folder: &Path) -> bool {
    match File::open(run_folder) {
        Ok(folder) => flock(&folder, FlockOperation::NonBlockingLockExclusive).is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_as_long_as_one_of_several_has_it() {
        let name = format!("hcsd-run-lock-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let (one, other) = (take(&folder).unwrap(), take(&folder).unwrap());
        drop(one);
        assert!(is_held(&folder));
        drop(other);
        assert!(!is_held(&folder));
        std::fs::remove_dir(&folder).unwrap();
        assert!(!is_held(&folder));
    }
}

//! State files that are whole or absent, whatever happens to the machine while they are written.
//!
//! The CPU group records and the crash store write through here. A file is written under a temporary name,
//! brought to the disk, renamed over the final name, and the folder is brought to the disk. What must hold: a
//! reader never opens a temporary name, and whoever owns a folder calls [`sweep`] when it opens it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

const TEMPORARY_SUFFIX: &str = ".tmp";

/// Makes the folder if need be, for its owner only, and removes files a crash left half-written.
pub fn sweep(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let half_written = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with('.') && name.ends_with(TEMPORARY_SUFFIX));
        if half_written && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Writes `<dir>/<name>` with mode 0600, replacing a file of that name in one step.
pub fn write(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!(".{name}{TEMPORARY_SUFFIX}"));
    let written = write_and_rename(dir, &temporary, name, bytes);
    if written.is_err() {
        // The caller hears of the write; a leftover is swept at the next start.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Removes `<dir>/<name>`; a file that is not there is no error.
pub fn remove(dir: &Path, name: &str) -> io::Result<()> {
    match fs::remove_file(dir.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::open(dir)?.sync_all(),
    }
}

fn write_and_rename(dir: &Path, temporary: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(temporary, dir.join(name))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let scratch = Scratch::new("durable");
        write(scratch.path(), "a.json", b"long first text").unwrap();
        write(scratch.path(), "a.json", b"short").unwrap();
        assert_eq!(scratch.get("a.json"), "short");
        let mode = fs::metadata(scratch.path().join("a.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn sweeping_removes_half_written_files_only() {
        let scratch = Scratch::new("sweep");
        scratch.put("store/.a.json.tmp", "{");
        scratch.put("store/b.json", "{}");
        scratch.put("store/notes.tmp", "kept");
        let store = scratch.path().join("store");
        sweep(&store).unwrap();
        assert!(!store.join(".a.json.tmp").exists());
        assert!(store.join("b.json").exists() && store.join("notes.tmp").exists());
        sweep(&scratch.path().join("new/folder")).unwrap();
        assert!(scratch.path().join("new/folder").is_dir());
    }

    #[test]
    fn removing_twice_is_no_error() {
        let scratch = Scratch::new("remove");
        write(scratch.path(), "a", b"").unwrap();
        remove(scratch.path(), "a").unwrap();
        remove(scratch.path(), "a").unwrap();
        assert!(!scratch.path().join("a").exists());
    }
}

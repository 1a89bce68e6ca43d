//! Folders for what is on its way into the store, and what a crash has left of such.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use hcs_core::{
    Error, io_failure,
    lock::{self, Held},
};

use super::Store;

/// A folder that is gone with its end, or after a crash with the next [`Store::prune`].
pub struct Scratch {
    path: PathBuf,
    _lock: Held<File>,
}

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Store {
    /// Removes what a crash has left of layers that were being unpacked or removed, or of what was fetched for them;
    /// what it was. With `only_look` nothing is removed.
    pub fn sweep(&self, only_look: bool) -> Result<Vec<PathBuf>, Error> {
        let _lock = self.lock()?;
        self.sweep_locked(only_look)
    }

    pub(super) fn sweep_locked(&self, only_look: bool) -> Result<Vec<PathBuf>, Error> {
        let folder = self.folder.join("layers");
        let mut left = Vec::new();
        for entry in fs::read_dir(&folder).map_err(io_failure(&folder, "reading"))?.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                let path = entry.path();
                let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
                let lock = match File::open(&path) {
                    // Who made it has removed it meanwhile.
                    Err(error) if is_gone(&error) => continue,
                    opened => opened.map_err(io_failure(&path, "opening"))?,
                };
                // Somebody is at it.
                let Ok(Some(_lock)) = Held::try_take(lock) else { continue };
                if !only_look {
                    match fs::remove_dir_all(&path) {
                        Err(error) if is_gone(&error) => continue,
                        removed => removed.map_err(io_failure(&path, "removing"))?,
                    }
                }
                left.push(path);
            }
        }
        Ok(left)
    }

    /// A folder for what is fetched and then imported.
    pub fn scratch(&self) -> Result<Scratch, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join("layers").join(format!(".fetched-{}-{number}", std::process::id()));
        let make = || loop {
            fs::create_dir(&path)?;
            match File::open(&path) {
                // Who sweeps has taken it for what a crash has left.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
        };
        let lock = lock::take_at(&path, make).map_err(io_failure(&path, "making"))?;
        Ok(Scratch { path, _lock: lock })
    }
}

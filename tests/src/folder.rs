//! A folder of a test's own.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use hcs_core::mountinfo;

/// Gone with its test, with what is mounted in it.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty one.
    pub fn new() -> Folder {
        Folder(make("hcs-folder"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a name in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What is in it, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("reading a folder");
        let mut names: Vec<_> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = mountinfo::unmount_below(&self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes a folder for temporary files whose name begins so, and which stays.
pub fn make(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("{name}-{}-{number}", std::process::id()));
        match fs::create_dir(&path) {
            // An earlier run had this process id and has left it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                made.expect("making a folder");
                return path;
            }
        }
    }
}

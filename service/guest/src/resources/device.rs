//! Waiting for a device that the host has just plugged in.
//!
//! The kernel tells of devices by uevents, but not of all that is needed (a partition, the node in /dev), so this looks
//! again every few milliseconds, at most five seconds, as hosts expect of agents.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error};
use rustix::io::Errno;

/// Where the kernel tells of devices.
pub const SYS: &str = "/sys";

const PATIENCE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(20);

/// Looks until there is something. `what` says what it is and where.
pub fn wait<T>(what: &str, look: impl FnMut() -> Option<T>) -> Result<T, Error> {
    wait_for(PATIENCE, what, look)
}

fn wait_for<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, Error> {
    let until = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() >= until {
            let detail = format!("{what} has not appeared in {patience:?}");
            return Err(Error::new(Cause::NotFound, detail)
                .hint("See that the host has attached it, and that the machine's kernel has its driver."));
        }
        thread::sleep(STEP);
    }
}

/// The names in a folder, in order. None if it is not there.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// What a file of the kernel says.
pub fn said(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
}

/// The node of a block device, once it can be opened: the kernel makes it a moment before.
pub fn node(name: &str) -> Option<String> {
    let node = format!("/dev/{name}");
    is_ready(Path::new(&node)).then_some(node)
}

fn is_ready(node: &Path) -> bool {
    match fs::File::open(node) {
        Ok(_) => true,
        // Anything else is for who uses it to tell.
        Err(error) => !matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::NXIO)),
    }
}

#[cfg(test)]
pub mod recorded {
    //! What a kernel has told, in a folder that goes with its test.

    use std::{
        fs,
        os::unix::fs::symlink,
        path::{Path, PathBuf},
    };

    /// The folder.
    pub struct Recorded(PathBuf);

    impl Recorded {
        /// An empty one.
        pub fn new(test: &str) -> Recorded {
            let folder = std::env::temp_dir().join(format!("hcs-guest-{test}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Recorded(folder.canonicalize().unwrap())
        }

        pub fn path(&self) -> &Path {
            &self.0
        }

        pub fn file(&self, path: &str, text: &str) -> &Recorded {
            let file = self.0.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
            self
        }

        pub fn folder(&self, path: &str) -> &Recorded {
            fs::create_dir_all(self.0.join(path)).unwrap();
            self
        }

        /// A link, as the folders of a bus have them.
        pub fn link(&self, path: &str, target: &str) -> &Recorded {
            let link = self.0.join(path);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(self.0.join(target), link).unwrap();
            self
        }
    }

    impl Drop for Recorded {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_appears_is_found_and_what_does_not_is_named() {
        let mut looks = 0;
        let found = wait("a disk", || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found.unwrap(), 3);
        let error = wait_for(Duration::ZERO, "the disk at LUN 7", || None::<()>).unwrap_err();
        assert_eq!(error.cause, Cause::NotFound);
        assert!(error.detail.contains("the disk at LUN 7"), "{error}");
    }

    #[test]
    fn a_node_is_there_when_it_can_be_opened() {
        let folder = recorded::Recorded::new("nodes");
        let (none, early, ready) =
            (folder.path().join("none"), folder.path().join("early"), folder.path().join("ready"));
        // Whoever opens the file of a socket hears what one hears whose device is not ready.
        let _socket = std::os::unix::net::UnixListener::bind(&early).unwrap();
        folder.file("ready", "");
        assert_eq!([none, early, ready].map(|node| is_ready(&node)), [false, false, true]);
    }
}

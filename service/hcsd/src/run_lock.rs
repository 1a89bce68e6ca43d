//! The lock on a run folder, by which a service is known to live wherever its settings put it, and by which there is one at a time:
//! a second one would take the workers away from the first.

use std::{fs::File, io, path::Path, sync::mpsc, thread, time::Duration};

use hcs_core::lock::{self, Held};

/// How long a service that is being replaced may take to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Takes it.
pub fn take(run_folder: &Path) -> io::Result<Held<File>> {
    let folder = File::open(run_folder)?;
    if lock::try_take(&folder)? {
        return Ok(Held::of(folder));
    }
    let (sender, taken) = mpsc::channel();
    // If it is not to be had, this process ends, and the thread with it.
    let wait = move || sender.send(lock::take(&folder).map(|()| Held::of(folder)));
    thread::Builder::new().spawn(wait)?;
    match taken.recv_timeout(LAST_WORDS) {
        Ok(folder) => Ok(folder?),
        Err(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another service uses it")),
    }
}

/// Whether a service holds it. What cannot be looked at counts as held, unless it is not there.
pub fn is_held(run_folder: &Path) -> bool {
    match File::open(run_folder) {
        Ok(folder) => !matches!(Held::try_take(folder), Ok(Some(_))),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one_and_the_next_has_it_when_that_has_ended() {
        let name = format!("hcsd-run-lock-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let one = take(&folder).unwrap();
        assert!(is_held(&folder));
        let (begun, begins) = mpsc::channel();
        let next = thread::spawn({
            let folder = folder.clone();
            move || {
                begun.send(()).unwrap();
                take(&folder)
            }
        });
        begins.recv().unwrap();
        drop(one);
        let next = next.join().unwrap().unwrap();
        assert!(is_held(&folder));
        drop(next);
        assert!(!is_held(&folder));
        std::fs::remove_dir(&folder).unwrap();
        assert!(!is_held(&folder));
    }
}

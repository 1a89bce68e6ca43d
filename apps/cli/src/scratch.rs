//! Folders for what containers of `hcs run` write over their images.
//!
//! One belongs to the command that made it, which holds a lock on it, or, after `--detach`, to the system that is named in
//! it. What belongs to nobody any more, because a command was killed or a system has ended, is removed by the next `hcs run`.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use hcs::{Cause, Client, images};
use hcs_core::{SystemId, lock};

use crate::{failure::Failure, output};

/// The file in a folder that names the socket of a service and, in the next line, the id of a system.
const OWNER: &str = "owner";

/// A folder of this command.
pub struct Scratch {
    /// Dropped after the folder is gone.
    _lock: File,
    path: PathBuf,
    is_left: bool,
}

/// Where the one of a system is, or will be: in the folder `layer`, so that the rest stays ours.
pub fn place(id: &str) -> Result<PathBuf, Failure> {
    Ok(folder_of(id)?.join("layer"))
}

/// The runtime id is its name: an id may be any text, and so the path of anything.
fn folder_of(id: &str) -> Result<PathBuf, Failure> {
    let id = SystemId::new(id).map_err(hcs::Error::from)?;
    Ok(images::scratch_folder().join(id.runtime_id().to_string()))
}

impl Scratch {
    /// Makes the one of a system, and removes those of nobody.
    pub fn make(client: &Client, socket: &Path, id: &str) -> Result<Scratch, Failure> {
        let all = images::scratch_folder();
        let path = folder_of(id)?;
        let failed = |error: io::Error| Failure::io(&error, &format!("making {}", path.display()));
        fs::create_dir_all(&all).map_err(failed)?;
        sweep(&all, client, socket);
        let made = gate(&all).and_then(|_gate| {
            fs::create_dir(&path)?;
            claim(&path, socket, id)
        });
        let lock = match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(taken(&path, id)),
            made => made.map_err(failed)?,
        };
        Ok(Scratch { _lock: lock, path, is_left: false })
    }

    /// Leaves it to its system.
    pub fn leave_to_system(mut self) {
        self.is_left = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.is_left
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            output::warn(&format!("{} stays: {error}", self.path.display()));
        }
    }
}

/// Held while a folder is made or removed, so that nobody sees one that is not anybody's yet.
fn gate(all: &Path) -> io::Result<File> {
    let gate = File::open(all)?;
    lock::take(&gate)?;
    Ok(gate)
}

/// Locks a new folder, and writes down whose it is.
fn claim(path: &Path, socket: &Path, id: &str) -> io::Result<File> {
    let lock = File::open(path)?;
    // Who sweeps may be looking whose it is, before the gate.
    lock::take(&lock)?;
    fs::write(path.join(OWNER), format!("{}\n{id}\n", socket.display()))?;
    fs::create_dir(path.join("layer"))?;
    Ok(lock)
}

/// A system of this id has one already, of this service or of another of this host.
fn taken(path: &Path, id: &str) -> Failure {
    let owner = fs::read_to_string(path.join(OWNER)).unwrap_or_default();
    let of = owner.lines().next().unwrap_or("nobody");
    Failure::new(format!(
        "there is a system {id:?} already, which the service at {of} has made, and which writes to {}; choose another --name",
        path.display()
    ))
}

/// Removes the folders of nobody. What cannot be looked at or removed is left for another time.
fn sweep(all: &Path, client: &Client, socket: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let path = entry.path();
        // Twice: asking the service may take its time, and nobody is to wait at the gate for it.
        if is_of_nobody(&path, client, socket)
            && let Ok(_gate) = gate(all)
            && is_of_nobody(&path, client, socket)
        {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn is_of_nobody(path: &Path, client: &Client, socket: &Path) -> bool {
    let Ok(lock) = File::open(path) else { return false };
    if lock::try_take(&lock) != Ok(true) {
        return false;
    }
    let owner = fs::read_to_string(path.join(OWNER)).unwrap_or_default();
    match owner.split_once('\n') {
        // Another service may have it, unless that one's folder is gone too: it was for a command that was killed.
        Some((of, _)) if Path::new(of) != socket => Path::new(of).parent().is_some_and(|run| !run.exists()),
        Some((_, id)) => {
            client.open(id.trim_end()).wait().is_err_and(|error| error.cause == Cause::SystemNotFound)
        }
        // It was never used.
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_is_the_path_of_anything_else() {
        for id in ["web", "a/b", "../../srv", "/srv"] {
            let folder = folder_of(id).unwrap();
            assert_eq!(folder.parent(), Some(images::scratch_folder().as_path()), "{id}");
        }
        assert_eq!(folder_of("web").unwrap(), folder_of("WEB").unwrap());
        assert!(folder_of("").is_err());
    }
}

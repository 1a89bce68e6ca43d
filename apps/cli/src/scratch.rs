//! Folders for what containers of `hcs run` write over their images.
//!
//! One belongs to the command that made it, which holds a lock on it, or, after `--detach`, to the system that is named in
//! it. What belongs to nobody any more, because a command was killed or a system has ended, is removed by the next `hcs run`.
//! The service puts two folders beside that name; a container sees neither it nor them.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use hcs::{Cause, Client, images};
use hcs_core::{SystemId, lock};

use crate::{failure::Failure, output};

/// In a folder: the socket of a service and, in the next line, the id of a system. It is the target of a link that leads
/// nowhere, because that is written, read and removed by a call each.
const OWNER: &str = "owner";

/// A folder of this command.
pub struct Scratch {
    /// Dropped after the folder is gone.
    _lock: File,
    path: PathBuf,
    is_left: bool,
}

/// Where the one of a system is, or will be. The runtime id is its name: an id may be any text, and so the path of anything.
pub fn place(id: &str) -> Result<PathBuf, Failure> {
    let id = SystemId::new(id).map_err(hcs::Error::from)?;
    Ok(images::scratch_folder().join(id.runtime_id().to_string()))
}

impl Scratch {
    /// Makes the one of a system. That it is there already may be because a command was killed; then it is nobody's.
    pub fn make(client: &Client, socket: &Path, id: &str) -> Result<Scratch, Failure> {
        let all = images::scratch_folder();
        let path = place(id)?;
        let failed = |error: io::Error| Failure::io(&error, &format!("making {}", path.display()));
        fs::create_dir_all(&all).map_err(failed)?;
        let make = || {
            let _gate = gate(&all)?;
            fs::create_dir(&path)?;
            claim(&path, socket, id)
        };
        let is_there = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
        let made = match make() {
            Err(error) if is_there(&error) => {
                sweep(client, socket);
                make()
            }
            made => made,
        };
        let lock = match made {
            Err(error) if is_there(&error) => return Err(taken(&path, id)),
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
        if self.is_left {
            return;
        }
        // What nothing was written to is all there is most of the time, and goes without being looked into.
        for empty in ["upper", "work/work", "work"] {
            let _ = fs::remove_dir(self.path.join(empty));
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
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
    symlink(format!("{}\n{id}", socket.display()), path.join(OWNER))?;
    Ok(lock)
}

/// A system of this id has one already, of this service or of another of this host.
fn taken(path: &Path, id: &str) -> Failure {
    let owner = owner(path).ok().flatten();
    let of = owner.as_ref().map_or("nobody", |(of, _)| of);
    Failure::new(format!(
        "there is a system {id:?} already, which the service at {of} has made, and which writes to {}; choose another --name",
        path.display()
    ))
}

/// Removes the folders of nobody. What cannot be looked at or removed is left for another time.
pub fn sweep(client: &Client, socket: &Path) {
    let all = images::scratch_folder();
    for entry in fs::read_dir(&all).into_iter().flatten().flatten() {
        let path = entry.path();
        // Twice: asking the service may take its time, and nobody is to wait at the gate for it.
        if is_of_nobody(&path, client, socket)
            && let Ok(_gate) = gate(&all)
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
    match owner(path) {
        // Another service may have it, unless that one's folder is gone too: it was for a command that was killed.
        Ok(Some((of, _))) if Path::new(&of) != socket => {
            Path::new(&of).parent().is_some_and(|run| !run.exists())
        }
        Ok(Some((_, id))) => client.open(&id).wait().is_err_and(|error| error.cause == Cause::SystemNotFound),
        // It was never used.
        Ok(None) => true,
        Err(_) => false,
    }
}

/// The socket and the id that are named in a folder; `None` if it was left before they were.
fn owner(path: &Path) -> io::Result<Option<(String, String)>> {
    match fs::read_link(path.join(OWNER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(owner) => {
            let owner = owner.to_str().and_then(|text| text.split_once('\n'));
            let (of, id) = owner.ok_or(io::ErrorKind::InvalidData)?;
            Ok(Some((of.to_owned(), id.to_owned())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_is_the_path_of_anything_else() {
        for id in ["web", "a/b", "../../srv", "/srv"] {
            let folder = place(id).unwrap();
            assert_eq!(folder.parent(), Some(images::scratch_folder().as_path()), "{id}");
        }
        assert_eq!(place("web").unwrap(), place("WEB").unwrap());
        assert!(place("").is_err());
    }
}

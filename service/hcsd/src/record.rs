//! What hcsd writes down about a live system before it acts, so that its next run knows what to do with it.
//!
//! A record is a small file in the system's run folder, replaced by rename. It lives in a file system that a
//! reboot empties, as the systems do, so it needs no sync.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::process_identity::ProcessIdentity;

/// The form of record that this release writes.
const VERSION: u32 = 1;

/// A live system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The form of this record.
    pub version: u32,
    /// The system's id.
    pub id: String,
    /// Which system of this id it is.
    pub instance: String,
    /// `Owner` of the document.
    pub owner: String,
    /// `ShouldTerminateOnLastHandleClosed` of the document.
    pub terminate_on_last_handle: bool,
    /// Whether the creation was completed; a system without it is torn down after a crash.
    pub created: bool,
    /// The cgroup folder of the service that made it.
    pub cgroup_parent: String,
    /// Its worker, to be killed if it does not answer.
    #[serde(default)]
    pub worker: Option<ProcessIdentity>,
    /// Whether it is a virtual machine.
    #[serde(default)]
    pub is_machine: bool,
    /// Sockets at paths of its document, to be removed if its worker cannot.
    #[serde(default)]
    pub sockets: Vec<String>,
    /// Files that are written beside others before they are whole, to be removed if its worker cannot.
    #[serde(default)]
    pub partial_files: Vec<String>,
    /// Whether it was paused when it was last given something that takes long.
    #[serde(default)]
    pub stands_still: bool,
    /// The id of the template that the machine is a clone of.
    #[serde(default)]
    pub template: Option<String>,
    /// The folder of the machine that the container is in.
    #[serde(default)]
    pub host: Option<PathBuf>,
    /// The id of that machine.
    #[serde(default)]
    pub hosting_system: Option<String>,
    /// The CPU group that the machine is in.
    #[serde(default)]
    pub cpu_group: Option<String>,
}

impl Record {
    /// A record of a system that is about to be made.
    pub fn new(
        id: &str,
        instance: &str,
        owner: &str,
        terminate_on_last_handle: bool,
        cgroup_parent: &str,
    ) -> Record {
        Record {
            version: VERSION,
            id: id.to_owned(),
            instance: instance.to_owned(),
            owner: owner.to_owned(),
            terminate_on_last_handle,
            created: false,
            cgroup_parent: cgroup_parent.to_owned(),
            worker: None,
            is_machine: false,
            sockets: Vec::new(),
            partial_files: Vec::new(),
            stands_still: false,
            template: None,
            host: None,
            hosting_system: None,
            cpu_group: None,
        }
    }

    /// Notes a socket that is about to be made.
    pub fn note_socket(&mut self, path: &str) {
        note(&mut self.sockets, path);
    }

    /// Notes a file that is about to be written beside another.
    pub fn note_partial_file(&mut self, path: &str) {
        note(&mut self.partial_files, path);
    }

    /// Writes the record into the system's folder. It is nobody else's business.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let temporary = folder.join("record.new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&text)?;
        fs::rename(temporary, path(folder))
    }

    /// Reads the record of a folder.
    pub fn read(folder: &Path) -> io::Result<Record> {
        Ok(serde_json::from_slice(&fs::read(path(folder))?)?)
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("record.json")
}

/// What is made again and again at one path stands there once.
fn note(paths: &mut Vec<String>, path: &str) {
    if !paths.iter().any(|noted| noted == path) {
        paths.push(path.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_noted_once() {
        let mut record = Record::new("vm", "1", "", false, "hcs");
        for path in ["/a", "/b", "/a"] {
            record.note_socket(path);
            record.note_partial_file(path);
        }
        assert_eq!(
            (record.sockets, record.partial_files),
            (vec!["/a".into(), "/b".into()], vec!["/a".to_owned(), "/b".to_owned()])
        );
    }
}

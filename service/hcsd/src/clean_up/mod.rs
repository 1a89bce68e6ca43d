//! `hcsd --clean-up`: removes what crashed runs have left on this host, and ends.
//!
//! A service does this for its own systems when it starts. Here it is done where none will start again, by the same means,
//! and nothing is adopted: whatever lives is left alone. What must hold: a system is dead only if nobody listens in its
//! folder and its worker's process is gone; a cgroup of another root is nobody's only if nothing is in it, no service and no
//! worker of its root lives, and nothing has happened to it for a minute: a service that is being replaced is not dead. The command line (`hcs cleanup`) runs this for each root that it finds.

mod cgroups;
mod living;

use std::{fs, io::ErrorKind, path::Path};

use crate::{config::Config, record::Record, registry};
use living::Living;

/// How far it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// It only tells.
    Tell,
    /// It removes.
    Remove,
}

/// Does it. False if something of this root lives or resists, so that its folder has to stay.
pub fn run(config: &Config, extent: Extent) -> bool {
    let mut work = Work { extent, is_free: true };
    let living = match Living::look() {
        Ok(living) => living,
        Err(error) => {
            work.keep("everything", &format!("what lives here cannot be seen: {error}"));
            return false;
        }
    };
    if living.has_service_at(config) {
        println!("kept    {}: a service lives there", config.settings.run_folder.display());
        work.is_free = false;
    } else {
        systems(config, &living, &mut work);
        own_cgroups(config, &mut work);
    }
    let is_free = work.is_free;
    // Those of other roots say nothing about this one.
    cgroups::remove_orphans(&living, &mut work);
    is_free
}

/// What is being done.
struct Work {
    extent: Extent,
    is_free: bool,
}

impl Work {
    /// Removes something, unless it is only to be told; says what and why.
    fn remove(&mut self, what: &str, why: &str, remove: impl FnOnce() -> Result<(), String>) {
        if self.extent == Extent::Tell {
            println!("would remove {what}: {why}");
            return;
        }
        match remove() {
            Ok(()) => println!("removed {what}: {why}"),
            Err(error) => {
                println!("kept    {what}: {error}");
                self.is_free = false;
            }
        }
    }

    fn keep(&mut self, what: &str, why: &str) {
        println!("kept    {what}: {why}");
        self.is_free = false;
    }
}

/// The folders of systems, each with what its worker has left.
fn systems(config: &Config, living: &Living, work: &mut Work) {
    for entry in fs::read_dir(config.systems()).into_iter().flatten().flatten() {
        let folder = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let record = Record::read(&folder);
        // One that makes no sense is none, but one that cannot be read now may be of a system that lives.
        if let Err(error) = &record
            && error.raw_os_error().is_some()
            && error.kind() != ErrorKind::NotFound
        {
            work.keep(&format!("the system {name}"), &format!("reading its record: {error}"));
            continue;
        }
        let id = record.as_ref().map_or(name.as_str(), |record| record.id.as_str());
        let what = format!("the system {id}");
        // A container in a machine lives as long as the machine's worker.
        let owner = record.as_ref().ok().and_then(|record| record.host.as_deref()).unwrap_or(&folder);
        let worker = record.as_ref().ok().and_then(|record| record.worker);
        if living.listens_below(owner) || worker.is_some_and(living::is_alive) {
            work.keep(&what, "its worker lives; a service that starts here adopts it");
            continue;
        }
        let why = if record.is_ok() { "its worker is gone" } else { "its record cannot be read" };
        work.remove(&what, why, || remove_system(config, &folder, &name, record.ok()));
    }
}

fn remove_system(config: &Config, folder: &Path, name: &str, record: Option<Record>) -> Result<(), String> {
    let parent =
        record.as_ref().map_or(config.cgroup_parent.as_str(), |record| record.cgroup_parent.as_str());
    hcs_container::container::remove_leftovers(parent, name).map_err(|error| error.to_string())?;
    if let Some(record) = record {
        hcs_machine::remove_sockets(record.sockets.iter().map(String::as_str));
        for file in &record.partial_files {
            // Mostly it is not there.
            let _ = fs::remove_file(file);
        }
    }
    registry::try_to_remove_folder(folder).map_err(|error| format!("{} resists: {error}", folder.display()))
}

/// The cgroups of this root, once no system has a folder.
fn own_cgroups(config: &Config, work: &mut Work) {
    if fs::read_dir(config.systems()).is_ok_and(|mut folders| folders.next().is_none()) {
        cgroups::remove(&config.cgroup_parent, "no system is left", work);
    }
}

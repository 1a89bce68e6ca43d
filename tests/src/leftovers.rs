//! What the containers of one service can leave on the host: mounts, cgroups, processes, sockets, files.
//!
//! Everything of a service has its root folder's name on it, so services of other tests are never counted.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use hcs_core::mountinfo;

use crate::processes;

/// What was found; empty if nothing is left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Mount points.
    pub mounts: Vec<PathBuf>,
    /// Folders of containers below any controller.
    pub cgroups: Vec<PathBuf>,
    /// Processes in containers.
    pub processes: Vec<u32>,
    /// Processes that listen for the service below its run folder, which are its workers.
    pub workers: Vec<u32>,
    /// Folders and files of live systems.
    pub files: Vec<PathBuf>,
    /// Network interfaces of the host that containers are connected by.
    pub interfaces: Vec<String>,
}

impl Leftovers {
    /// Looks for what the service with this root folder has on the host.
    pub fn of(root: &Path) -> Leftovers {
        let mountinfo = fs::read("/proc/self/mountinfo").expect("mountinfo");
        let parent = cgroup_parent(root);
        Leftovers {
            mounts: mountinfo::points_below(&mountinfo, root),
            cgroups: parents(root)
                .iter()
                .flat_map(|parent| below(parent))
                .filter(|path| !is_fixed(path))
                .collect(),
            processes: processes::all()
                .into_iter()
                .filter(|pid| processes::read(*pid, "cgroup").contains(&format!("/{parent}/")))
                .collect(),
            workers: processes::listening_below(&root.join("run/systems")),
            files: below(&root.join("run/systems")),
            interfaces: interfaces(&parent),
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        *self == Leftovers::default()
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Leftovers { mounts, cgroups, files, interfaces, .. } = self;
        writeln!(f, "mounts {mounts:?}, cgroups {cgroups:?}, files {files:?}, interfaces {interfaces:?}")?;
        for pid in self.processes.iter().chain(&self.workers) {
            let command = processes::read(*pid, "cmdline").replace('\0', " ");
            writeln!(f, "process {pid} {} {command}", processes::read(*pid, "comm").trim())?;
        }
        Ok(())
    }
}

/// Those that say of themselves that they belong to a container of the service with these cgroups.
fn interfaces(parent: &str) -> Vec<String> {
    let names = fs::read_dir("/sys/class/net").expect("/sys/class/net").flatten();
    let says = |name: &str| fs::read_to_string(format!("/sys/class/net/{name}/ifalias")).unwrap_or_default();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| says(name).starts_with(&format!("{parent}/"))).collect()
}

/// Removes the folders that a service keeps for itself, which only the end of a test does. False if one resists.
pub fn remove_parents(root: &Path) -> bool {
    let mut all = true;
    for parent in parents(root) {
        let mut folders = below(&parent);
        // The innermost first.
        folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
        for folder in folders.iter().filter(|path| path.is_dir()).chain([&parent]) {
            // `hcs cleanup` elsewhere takes what no service has for long.
            let is_gone = |error: std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
            all &= fs::remove_dir(folder).map_or_else(is_gone, |()| true);
        }
    }
    all
}

/// The service's folder below each controller, as far as there is one.
pub fn parents(root: &Path) -> Vec<PathBuf> {
    let mountinfo = fs::read("/proc/self/mountinfo").expect("mountinfo");
    let mounts = mountinfo::cgroups(&mountinfo).map(|mount| mount.point);
    mounts.map(|mount| mount.join(cgroup_parent(root))).filter(|parent| parent.is_dir()).collect()
}

/// The name of the service's cgroup folder: FNV-1a of its root folder, so that services never meet.
fn cgroup_parent(root: &Path) -> String {
    let bytes = root.as_os_str().as_encoded_bytes();
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("hcs-{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The folder of CPU groups is the service's own.
fn is_fixed(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "cpu-groups")
}

/// Everything below a folder but the files of cgroups, which come and go with their folders.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            found.extend(below(&entry.path()));
        }
        if is_folder || !folder.starts_with("/sys") {
            found.push(entry.path());
        }
    }
    found
}

//! Processor time, counted by the kernel in a cgroup for each contestant: to the nanosecond, and of everybody who works
//! for it, also of those that are dead, and of what is done after the answer.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::Outcome;

/// The cgroups of one run, below one folder, in every hierarchy in which somebody makes groups there.
pub struct Groups {
    hierarchies: Vec<PathBuf>,
    name: String,
}

/// What one contestant uses.
pub struct Group {
    folder: PathBuf,
    /// Where else processes of the contestant are counted.
    more: Vec<PathBuf>,
}

impl Groups {
    /// Finds the hierarchies. Without the controller `cpuacct` of cgroup v1 there are none.
    pub fn new() -> Groups {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let of_cgroups = mounts.lines().filter(|line| line.contains(" - cgroup cgroup "));
        let hierarchies = of_cgroups.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect();
        Groups { hierarchies, name: format!("hcs-bench-{}", std::process::id()) }
    }

    /// The path of a group below the mount of a hierarchy.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// The folders of the hierarchies that our containers use.
    pub fn of_containers(&self) -> Vec<&Path> {
        let used = ["cpu", "cpuacct", "devices", "freezer", "memory", "pids"];
        let names = |mount: &&PathBuf| used.iter().any(|name| mount.ends_with(name));
        self.hierarchies.iter().filter(names).map(PathBuf::as_path).collect()
    }

    /// Makes the group of a contestant.
    pub fn make(&self, name: &str) -> Outcome<Group> {
        for hierarchy in self.of_containers() {
            fs::create_dir_all(hierarchy.join(self.path(name)))?;
        }
        let accounting = self.accounting().ok_or("processor time is counted with cgroup v1 only")?;
        Ok(Group { folder: accounting.join(self.path(name)), more: Vec::new() })
    }

    fn accounting(&self) -> Option<&Path> {
        self.of_containers().into_iter().find(|mount| mount.ends_with("cpuacct"))
    }

    /// The folder in which the group of a container is, for instance that of our service. Another service may have left
    /// one of the same name, but nothing runs in that.
    pub fn holder(&self, container: &str) -> Option<PathBuf> {
        let folders = fs::read_dir(self.accounting()?).ok()?.flatten();
        let is_in_use = |folder: &PathBuf| {
            fs::read_to_string(folder.join(container).join("tasks")).is_ok_and(|tasks| !tasks.is_empty())
        };
        folders.map(|entry| entry.path()).find(is_in_use)
    }

    /// Takes the calling thread out of all groups.
    pub fn leave(&self) -> Outcome {
        match self.accounting() {
            Some(mount) => Ok(fs::write(mount.join("tasks"), "0")?),
            None => Ok(()),
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        let _ = self.leave();
        for hierarchy in &self.hierarchies {
            remove(&hierarchy.join(&self.name));
        }
    }
}

/// Removes a tree of groups. One that somebody is still in stays, and is seen.
fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

impl Group {
    /// Counts what is used in another folder too.
    pub fn with(mut self, folder: Option<PathBuf>) -> Group {
        self.more.extend(folder);
        self
    }

    /// Has the calling thread, and what it starts from now on, counted here.
    pub fn enter(&self) -> Outcome {
        Ok(fs::write(self.folder.join("tasks"), "0")?)
    }

    /// What was used so far.
    pub fn used(&self) -> Outcome<Duration> {
        let mut nanoseconds = 0;
        for folder in [&self.folder].into_iter().chain(&self.more) {
            nanoseconds += fs::read_to_string(folder.join("cpuacct.usage"))?.trim().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

/// Whether the kernel's setting that makes joining a cgroup quick for everybody is on. It cannot be switched off
/// again, so nothing here switches it on.
pub fn favours_dynamic_cgroups() -> bool {
    fs::read_to_string("/proc/self/mountinfo").is_ok_and(|mounts| mounts.contains("favordynmods"))
}

/// The children of a process, whichever of its threads made them.
pub fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let listed = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let numbers =
        |text: String| text.split_whitespace().filter_map(|one| one.parse().ok()).collect::<Vec<_>>();
    listed.flat_map(numbers).collect()
}

/// The memory that a process has, shared pages counted in parts, in KiB.
pub fn proportional_kib(pid: u32) -> Option<u64> {
    rollup(pid, &["Pss:"])
}

/// The memory that a process has for itself, in KiB.
pub fn private_kib(pid: u32) -> Option<u64> {
    rollup(pid, &["Private_Dirty:", "Private_Clean:"])
}

/// The sum of some of what the kernel tells of a process's memory.
fn rollup(pid: u32, names: &[&str]) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let of = |name: &&str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(*name))?.split_whitespace().next()?.parse().ok()
    };
    names.iter().map(of).sum()
}

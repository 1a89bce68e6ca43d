//! The files of one cgroup: reading, writing, its processes, its removal.
//!
//! [`super::cpu_groups`] works through here. What must hold: every failure names the file and what was tried.
//!
//! The tests run against plain folders. There the kernel neither makes a cgroup's files with its folder nor
//! removes them with it; the two places marked "plain folders" stand in for that in test builds only.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::cpu_group_error::CpuGroupError;
use super::cpu_list;

/// Makes one cgroup; one that exists is no error.
pub fn make(dir: &Path) -> Result<(), CpuGroupError> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed("make the cgroup", dir, error))
        }
        _ => Ok(()),
    }
}

/// Removes one cgroup. `Ok(false)`: it is in use; one that is not there counts as removed.
pub fn remove(dir: &Path) -> Result<bool, CpuGroupError> {
    #[cfg(test)]
    empty_plain_folder(dir);
    match fs::remove_dir(dir) {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(true),
            io::ErrorKind::ResourceBusy | io::ErrorKind::DirectoryNotEmpty => Ok(false),
            _ => Err(failed("remove the cgroup", dir, error)),
        },
    }
}

/// Reads a file, without the line end.
pub fn read(dir: &Path, file: &str) -> Result<String, CpuGroupError> {
    let path = dir.join(file);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim_end().to_owned()),
        Err(error) => Err(failed("read", &path, error)),
    }
}

/// Reads a file that may be absent (then empty), as a list of processors or nodes.
pub fn read_list(dir: &Path, file: &str) -> Result<Vec<u32>, CpuGroupError> {
    if !dir.join(file).exists() {
        return Ok(Vec::new());
    }
    cpu_list::parse(&read(dir, file)?).map_err(|error| failed("read", &dir.join(file), error))
}

/// Writes a file in one piece, as the kernel wants it.
pub fn write(dir: &Path, file: &str, text: &str) -> Result<(), CpuGroupError> {
    let path = dir.join(file);
    // Plain folders: the kernel's files exist; a test's have to be made.
    let opened = OpenOptions::new().write(true).truncate(true).create(cfg!(test)).open(&path);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| failed(&format!("write \"{text}\""), &path, error))
}

/// Moves a process, with all its threads, into a cgroup.
pub fn move_process(dir: &Path, pid: u32) -> Result<(), CpuGroupError> {
    write(dir, "cgroup.procs", &pid.to_string()).map_err(|error| match error {
        CpuGroupError::Cgroup { source, .. } if source.raw_os_error() == Some(libc::ESRCH) => {
            CpuGroupError::NoSuchProcess { pid }
        }
        other => other,
    })
}

/// Lets the cgroups below `dir` use a controller of the unified hierarchy.
pub fn enable(dir: &Path, controller: &str) -> Result<(), CpuGroupError> {
    let enabled = read(dir, "cgroup.subtree_control").unwrap_or_default();
    if enabled.split_whitespace().any(|name| name.trim_start_matches('+') == controller) {
        return Ok(());
    }
    write(dir, "cgroup.subtree_control", &format!("+{controller}"))
}

/// Fills a version 1 cpuset from the one above, where it is empty or no longer covers the processors.
pub fn inherit(above: &Path, level: &Path, needed: &[u32]) -> Result<(), CpuGroupError> {
    if read_list(level, "cpuset.mems")?.is_empty() {
        write(level, "cpuset.mems", &read(above, "cpuset.mems")?)?;
    }
    let present = read_list(level, "cpuset.cpus")?;
    if present.is_empty() || !needed.iter().all(|processor| present.contains(processor)) {
        write(level, "cpuset.cpus", &read(above, "cpuset.cpus")?)?;
    }
    Ok(())
}

/// The processes in a cgroup and in those below it; none if it does not exist.
pub fn processes(dir: &Path) -> Result<Vec<u32>, CpuGroupError> {
    let path = dir.join("cgroup.procs");
    let mut found = match fs::read_to_string(&path) {
        Ok(text) => text.lines().filter_map(|line| line.trim().parse().ok()).collect(),
        Err(error) if gone(&error) => Vec::new(),
        // A threaded cgroup of version 2: its processes are shown where its threads are rooted, above it.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Vec::new(),
        Err(error) => return Err(failed("read", &path, error)),
    };
    for child in children(dir)? {
        found.extend(processes(&child)?);
    }
    Ok(found)
}

/// The cgroups directly below one; none if it does not exist.
pub fn children(dir: &Path) -> Result<Vec<PathBuf>, CpuGroupError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(failed("list the cgroups", dir, error)),
    };
    let mut children = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed("list the cgroups", dir, error))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            children.push(entry.path());
        }
    }
    Ok(children)
}

/// An error about a cgroup.
pub fn failed(action: &str, path: &Path, source: io::Error) -> CpuGroupError {
    CpuGroupError::Cgroup { action: action.to_owned(), path: path.to_owned(), source }
}

/// A cgroup can vanish between two looks; the kernel then says one or the other.
fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// Plain folders: a cgroup without processes goes with its files, which the kernel does by itself.
#[cfg(test)]
fn empty_plain_folder(dir: &Path) {
    if dir.starts_with(std::env::temp_dir()) && processes(dir).is_ok_and(|found| found.is_empty()) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn processes_of_a_tree() {
        let tree = Scratch::new("cgroup");
        tree.put("cgroup.procs", "7\n8\n");
        tree.put("below/cgroup.procs", "9\n");
        assert_eq!(processes(tree.path()).unwrap(), [7, 8, 9]);
        assert_eq!(children(tree.path()).unwrap().len(), 1);
        assert!(!remove(&tree.path().join("below")).unwrap());
        assert_eq!(processes(&tree.path().join("absent")).unwrap(), [0u32; 0]);
        assert!(remove(&tree.path().join("absent")).unwrap());
    }

    #[test]
    fn a_controller_is_enabled_once() {
        let tree = Scratch::new("enable");
        let control = tree.put("cgroup.subtree_control", "cpu memory\n");
        enable(tree.path(), "cpu").unwrap();
        assert_eq!(fs::read_to_string(&control).unwrap(), "cpu memory\n");
        enable(tree.path(), "cpuset").unwrap();
        assert_eq!(fs::read_to_string(&control).unwrap(), "+cpuset");
    }

    #[test]
    fn a_refusal_names_the_file() {
        let tree = Scratch::new("refusal");
        let error = write(&tree.path().join("absent"), "cpuset.cpus", "0").unwrap_err().to_string();
        assert!(error.contains("write \"0\"") && error.contains("absent/cpuset.cpus"), "{error}");
    }
}

//! Cgroups that nobody has any more.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use hcs_core::mountinfo;

use super::{Work, living::Living};

/// What the folder of a service with a root of its own is called: this and a number of 64 bits.
const PREFIX: &str = "hcs-";
const DIGITS: usize = 16;

/// What nothing has happened to for this long is not between two runs of a service.
const UNTOUCHED: Duration = Duration::from_secs(60);

/// Removes the folders of services of other roots that nothing is in, and of whose roots nothing lives.
pub fn remove_orphans(living: &Living, work: &mut Work) {
    let mut names = BTreeSet::new();
    let mounts = match mounts_of_this_host() {
        Ok(mounts) => mounts,
        Err(error) => return work.keep("cgroups", &format!("reading /proc/self/mountinfo: {error}")),
    };
    for mount in mounts {
        let entries = fs::read_dir(mount).into_iter().flatten().flatten();
        names.extend(
            entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_ours(name)),
        );
    }
    let alive = living.cgroup_parents();
    let is_untouched =
        |name: &&String| folders(name).is_ok_and(|folders| folders.iter().all(|folder| is_old(folder)));
    for name in names.difference(&alive).filter(is_untouched) {
        remove(name, "nothing of its service lives", work);
    }
}

fn is_old(folder: &Path) -> bool {
    let changed = fs::metadata(folder).and_then(|about| about.modified()).ok();
    changed.and_then(|changed| changed.elapsed().ok()).is_some_and(|age| age >= UNTOUCHED)
}

/// Removes the folder of this name in every hierarchy, unless a process is in one.
pub fn remove(name: &str, why: &str, work: &mut Work) {
    let what = format!("the cgroups {name}");
    let folders = match folders(name) {
        Ok(folders) => folders,
        Err(error) => return work.keep(&what, &format!("reading /proc/self/mountinfo: {error}")),
    };
    if folders.is_empty() {
        return;
    }
    if folders.iter().any(|folder| has_processes(folder)) {
        return work.keep(&what, "processes are in them");
    }
    work.remove(&what, why, || {
        folders.iter().try_for_each(|folder| remove_folder(folder)).map_err(|error| error.to_string())
    });
}

/// The folders of this name.
fn folders(name: &str) -> std::io::Result<Vec<PathBuf>> {
    let mounts = mounts_of_this_host()?;
    Ok(mounts.into_iter().map(|mount| mount.join(name)).filter(|folder| folder.is_dir()).collect())
}

/// Where hierarchies are mounted here.
fn mounts_of_this_host() -> std::io::Result<BTreeSet<PathBuf>> {
    Ok(mountinfo::cgroups(&fs::read("/proc/self/mountinfo")?).map(|mount| mount.point).collect())
}

fn is_ours(name: &str) -> bool {
    let number = name.strip_prefix(PREFIX);
    number.is_some_and(|number| {
        number.len() == DIGITS
            && number.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

fn has_processes(folder: &Path) -> bool {
    // One that has gone meanwhile has none.
    fs::read_to_string(folder.join("cgroup.procs")).is_ok_and(|processes| !processes.trim().is_empty())
        || below(folder).iter().any(|folder| has_processes(folder))
}

/// The innermost first. The kernel refuses what is in use.
fn remove_folder(folder: &Path) -> std::io::Result<()> {
    below(folder).iter().try_for_each(|folder| remove_folder(folder))?;
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_that_a_service_names_so_are_ours() {
        assert!(is_ours("hcs-0123456789abcdef"));
        for other in
            ["hcs", "hcs-", "hcs-test-1", "hcs-0123456789ABCDEF", "hcs-0123456789abcdef0", "init.scope"]
        {
            assert!(!is_ours(other), "{other}");
        }
    }
}

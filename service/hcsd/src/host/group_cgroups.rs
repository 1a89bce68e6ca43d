//! The cgroups behind CPU groups: `<mount>/<folder>/<group>`, and what the kernel wants around them.
//!
//! [`super::cpu_groups`] decides which groups there are; this makes, fills and removes their cgroups. On
//! version 1 a cgroup starts without processors and memory nodes and takes no process before it has both, so
//! every level is filled from the one above; a capacity limit needs a second cgroup in the cpu hierarchy. On
//! version 2 every level above must pass the controllers down, and the limit is in the same cgroup. What must
//! hold: every function can be repeated, because a crash may have stopped the first try anywhere.

use std::io;
use std::path::{Path, PathBuf};

use super::cgroup_dir as cgroup;
use super::cpu_group_error::CpuGroupError;
use super::cpu_group_records::{GroupRecord, canonical_id};
use super::cpu_list;
use super::cpuset_mount::{CgroupVersion, CpusetMount};

/// The capacity that is no limit: all the time of the group's processors.
pub const FULL_CAPACITY: u32 = 65_536;
/// Over which time a limit is kept, the kernel's usual choice.
const PERIOD_MICROSECONDS: u64 = 100_000;
/// The kernel takes no smaller share of a period.
const LEAST_QUOTA_MICROSECONDS: u64 = 1_000;

/// Where groups have their cgroups.
#[derive(Debug)]
pub struct GroupCgroups {
    mount: CpusetMount,
    folder: PathBuf,
}

impl GroupCgroups {
    /// Nothing is touched before the first group is made.
    pub fn new(mount: CpusetMount, folder: &Path) -> Self {
        Self { mount, folder: folder.to_owned() }
    }

    /// Whether a group's capacity can be limited here.
    pub fn has_capacity(&self) -> bool {
        self.mount.cpu.is_some()
    }

    /// The cgroup of a group.
    fn dir(&self, group: &str) -> PathBuf {
        self.mount.path.join(&self.folder).join(group)
    }

    /// The processors that are online and that this hierarchy may use.
    pub fn usable_processors(&self) -> Result<Vec<u32>, CpuGroupError> {
        let file = match self.mount.version {
            CgroupVersion::V1 => "cpuset.effective_cpus",
            CgroupVersion::V2 => "cpuset.cpus.effective",
        };
        let usable = cgroup::read_list(&self.mount.path, file)?;
        // Older version 1 kernels have only the plain file, which says the same at the root.
        if usable.is_empty() { cgroup::read_list(&self.mount.path, "cpuset.cpus") } else { Ok(usable) }
    }

    /// The groups that have a cgroup, by the names of the folders.
    pub fn found(&self) -> Result<Vec<String>, CpuGroupError> {
        let mut groups = Vec::new();
        for root in self.roots() {
            for dir in cgroup::children(&root)? {
                let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                groups.extend(canonical_id(name).ok().filter(|id| id == name));
            }
        }
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }

    /// Makes the cgroups of a group, or brings those there are to what the record says.
    pub fn realise(&self, record: &GroupRecord) -> Result<(), CpuGroupError> {
        let dir = self.dir(&record.group);
        let list = cpu_list::format(&record.processors);
        let levels = self.levels(&self.mount.path);
        match self.mount.version {
            CgroupVersion::V1 => {
                for pair in levels.windows(2) {
                    cgroup::make(&pair[1])?;
                    cgroup::inherit(&pair[0], &pair[1], &record.processors)?;
                }
                cgroup::make(&dir)?;
                let above = &levels[levels.len() - 1];
                cgroup::write(&dir, "cpuset.mems", &cgroup::read(above, "cpuset.mems")?)?;
                cgroup::write(&dir, "cpuset.cpus", &list)?;
            }
            CgroupVersion::V2 => {
                for level in &levels {
                    cgroup::make(level)?;
                    cgroup::enable(level, "cpuset")?;
                }
                cgroup::make(&dir)?;
                cgroup::write(&dir, "cpuset.cpus", &list)?;
                // The kernel takes any list and silently uses what the levels above leave of it.
                let effective = cgroup::read_list(&dir, "cpuset.cpus.effective")?;
                if !effective.is_empty() && effective != record.processors {
                    let text = format!(
                        "only processors {} are left by the cgroups above",
                        cpu_list::format(&effective)
                    );
                    return Err(cgroup::failed(
                        &format!("use processors {list}"),
                        &dir,
                        io::Error::other(text),
                    ));
                }
            }
        }
        self.limit(record)
    }

    /// Sets the group's share of its processors' time.
    pub fn limit(&self, record: &GroupRecord) -> Result<(), CpuGroupError> {
        let full = record.capacity >= FULL_CAPACITY;
        let Some((root, dir)) = self.quota_dir(&record.group) else { return Ok(()) };
        let quota = quota(record.processors.len(), record.capacity);
        match self.mount.version {
            // Without a limit there is no need for files that were never made.
            CgroupVersion::V1 if full && !dir.join("cpu.cfs_quota_us").exists() => Ok(()),
            CgroupVersion::V2 if full && !dir.join("cpu.max").exists() => Ok(()),
            CgroupVersion::V1 => {
                for level in self.levels(&root).iter().skip(1) {
                    cgroup::make(level)?;
                }
                cgroup::make(&dir)?;
                cgroup::write(&dir, "cpu.cfs_period_us", &PERIOD_MICROSECONDS.to_string())?;
                let text = if full { "-1".to_owned() } else { quota.to_string() };
                cgroup::write(&dir, "cpu.cfs_quota_us", &text)?;
                if full { Ok(()) } else { self.gather(&record.group, &dir) }
            }
            CgroupVersion::V2 => {
                for level in self.levels(&root) {
                    cgroup::enable(&level, "cpu")?;
                }
                let text = if full { "max".to_owned() } else { quota.to_string() };
                cgroup::write(&dir, "cpu.max", &format!("{text} {PERIOD_MICROSECONDS}"))
            }
        }
    }

    /// The processes of a group, and how many cgroups were made below it.
    pub fn members(&self, group: &str) -> Result<(Vec<u32>, usize), CpuGroupError> {
        let (mut processes, mut cgroups) = (Vec::new(), 0);
        for root in self.roots() {
            processes.extend(cgroup::processes(&root.join(group))?);
            cgroups += cgroup::children(&root.join(group))?.len();
        }
        processes.sort_unstable();
        processes.dedup();
        Ok((processes, cgroups))
    }

    /// Removes the cgroups of a group; `Ok(false)`: something joined in between.
    pub fn remove(&self, group: &str) -> Result<bool, CpuGroupError> {
        for root in self.roots() {
            if !cgroup::remove(&root.join(group))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes the folder that holds the groups, and those above it that are its own, where they are empty.
    pub fn remove_levels(&self) {
        for mount in std::iter::once(&self.mount.path).chain(&self.mount.cpu) {
            for level in self.levels(mount).iter().skip(1).rev() {
                // Not empty means in use, and not there is what is wanted.
                let _ = cgroup::remove(level);
            }
        }
    }

    /// A process that joined before there was a limit is not in the cgroup that holds it.
    fn gather(&self, group: &str, dir: &Path) -> Result<(), CpuGroupError> {
        let limited = cgroup::processes(dir)?;
        for pid in cgroup::processes(&self.dir(group))? {
            if limited.contains(&pid) {
                continue;
            }
            match cgroup::move_process(dir, pid) {
                Ok(()) | Err(CpuGroupError::NoSuchProcess { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The mount of the cpu controller and the group's cgroup in it.
    fn quota_dir(&self, group: &str) -> Option<(PathBuf, PathBuf)> {
        let cpu = self.mount.cpu.as_ref()?;
        Some((cpu.clone(), cpu.join(&self.folder).join(group)))
    }

    /// The folders that hold the groups' cgroups: that of the cpuset mount, then a separate cpu mount's.
    fn roots(&self) -> Vec<PathBuf> {
        let separate = self.mount.cpu.iter().filter(|cpu| **cpu != self.mount.path);
        std::iter::once(&self.mount.path).chain(separate).map(|mount| mount.join(&self.folder)).collect()
    }

    /// The mount and each level down to the folder of the groups.
    fn levels(&self, mount: &Path) -> Vec<PathBuf> {
        let mut levels = vec![mount.to_owned()];
        for component in self.folder.components() {
            levels.push(levels[levels.len() - 1].join(component));
        }
        levels
    }
}

/// The microseconds of processor time a group has in each period.
fn quota(processors: usize, capacity: u32) -> u64 {
    let whole = PERIOD_MICROSECONDS * processors as u64;
    (whole * u64::from(capacity) / u64::from(FULL_CAPACITY)).max(LEAST_QUOTA_MICROSECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_share_of_all_processors() {
        assert_eq!(quota(4, 32_768), 200_000);
        assert_eq!(quota(1, FULL_CAPACITY), 100_000);
        assert_eq!(quota(1, 1), LEAST_QUOTA_MICROSECONDS);
    }
}

//! CPU groups: named sets of processors that systems are bound to.
//!
//! The service property and the service setting "CpuGroup" end here, and so does the binding of a system. A
//! group is a cgroup `<mount>/hcs/cpu-groups/<id>` with the cpuset controller, plus a record in the state
//! folder. What must hold: a record is written before the cgroup is touched, so that after a crash
//! [`CpuGroups::open`] can finish or undo what was under way; a group with members is never removed.
//!
//! Joining moves a process out of the cgroup it was in, on version 2 for all controllers. A system that has a
//! cgroup of its own is therefore better bound by making that cgroup below [`CpuGroups::cgroup_of`]; on
//! version 2 a group holds either processes or such cgroups with controllers, not both.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::cpu_group_error::CpuGroupError;
use super::cpu_group_records::{GroupRecord, GroupRecords, canonical_id};
use super::cpuset_mount::CpusetMount;
use super::group_cgroups::{FULL_CAPACITY, GroupCgroups};
use super::process_home::Home;
use super::processor_set;

/// Property code: the group's share of its processors' time in 65536ths.
pub const PROPERTY_CAPACITY: u32 = 0x0001_0000;
/// Property code: scheduling priority.
pub const PROPERTY_PRIORITY: u32 = 0x0002_0000;
/// Property code: processors kept idle.
pub const PROPERTY_IDLE_RESERVE: u32 = 0x0003_0000;

/// Where groups live below the mount.
const FOLDER: &str = "hcs/cpu-groups";

type Result<T> = std::result::Result<T, CpuGroupError>;

/// The CPU groups of this host.
#[derive(Debug)]
pub struct CpuGroups {
    cgroups: GroupCgroups,
    records: GroupRecords,
    groups: BTreeMap<String, GroupRecord>,
    /// Where members were before, by process and group; lost with the service, then they leave to the mount.
    homes: HashMap<u32, (String, Home)>,
    problems: Vec<CpuGroupError>,
}

/// One group, for the property documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuGroup {
    /// The canonical id.
    pub id: String,
    /// Its processors, ascending.
    pub processors: Vec<u32>,
    /// The value of [`PROPERTY_CAPACITY`]; 65536 is no limit.
    pub capacity: u32,
}

impl CpuGroups {
    /// Loads the recorded groups and brings the cgroups to what is recorded.
    ///
    /// What cannot be brought there does not keep the service from starting; see [`CpuGroups::problems`].
    pub fn open(mount: CpusetMount, state_dir: &Path) -> Result<Self> {
        Self::open_in(mount, Path::new(FOLDER), state_dir)
    }

    /// The same with another folder below the mount: a second service on one host must not share it, because
    /// what is not recorded in `state_dir` is removed from it.
    pub fn open_in(mount: CpusetMount, folder: &Path, state_dir: &Path) -> Result<Self> {
        let records = GroupRecords::open(state_dir)?;
        let (loaded, problems) = records.load()?;
        let groups = loaded.into_iter().map(|record| (record.group.clone(), record)).collect();
        let cgroups = GroupCgroups::new(mount, folder);
        let mut opened = Self { cgroups, records, groups, homes: HashMap::new(), problems };
        opened.reconcile();
        Ok(opened)
    }

    /// For the log: unreadable records, groups that could not be made again, unrecorded cgroups in use.
    pub fn problems(&self) -> &[CpuGroupError] {
        &self.problems
    }

    /// Whether [`PROPERTY_CAPACITY`] can be set here.
    pub fn has_capacity(&self) -> bool {
        self.cgroups.has_capacity()
    }

    /// All groups by id.
    pub fn list(&self) -> Vec<CpuGroup> {
        let shown = |record: &GroupRecord| CpuGroup {
            id: record.group.clone(),
            processors: record.processors.clone(),
            capacity: record.capacity,
        };
        self.groups.values().map(shown).collect()
    }

    /// Makes a group. `count` is what the caller says the length of `processors` is.
    pub fn create(&mut self, id: &str, count: u32, processors: &[u32]) -> Result<()> {
        let group = canonical_id(id)?;
        let processors = processor_set::checked(count, processors, &self.cgroups.usable_processors()?)?;
        if self.groups.contains_key(&group) {
            return Err(CpuGroupError::Exists { group });
        }
        // A cgroup that was left in use when its record went must not lend its members to the new group.
        self.require_empty(&group)?;
        let record =
            GroupRecord { group: group.clone(), processors, capacity: FULL_CAPACITY, deleting: false };
        self.records.save(&record)?;
        if let Err(error) = self.cgroups.realise(&record) {
            let _ = self.cgroups.remove(&group);
            let _ = self.records.remove(&group);
            return Err(error);
        }
        self.groups.insert(group, record);
        Ok(())
    }

    /// Removes a group that has no members.
    pub fn delete(&mut self, id: &str) -> Result<()> {
        let record = self.record(id)?.clone();
        let group = record.group.clone();
        self.require_empty(&group)?;
        self.records.save(&GroupRecord { deleting: true, ..record.clone() })?;
        let removed = self.cgroups.remove(&group);
        if !matches!(removed, Ok(true)) {
            // Something joined since the look above, or the kernel refused: the group stays whole.
            self.records.save(&record)?;
            self.cgroups.realise(&record)?;
            removed?;
            let (processes, cgroups) = self.cgroups.members(&group)?;
            return Err(CpuGroupError::InUse { group, processes, cgroups });
        }
        self.homes.retain(|_, (joined, _)| *joined != group);
        self.groups.remove(&group);
        self.records.remove(&group)
    }

    /// Sets a property of a group. Linux can do [`PROPERTY_CAPACITY`] only.
    pub fn set_property(&mut self, id: &str, code: u32, value: u64) -> Result<()> {
        let old = self.record(id)?.clone();
        let refused = |name, reason| Err(CpuGroupError::UnsupportedProperty { code, name, reason });
        match code {
            PROPERTY_CAPACITY if !self.has_capacity() => {
                refused("CPU capacity", "the kernel offers no cpu controller beside the cpuset controller")
            }
            PROPERTY_CAPACITY => {
                let capacity = u32::try_from(value)
                    .ok()
                    .filter(|capacity| (1..=FULL_CAPACITY).contains(capacity))
                    .ok_or(CpuGroupError::BadCapacity { value })?;
                let new = GroupRecord { capacity, ..old.clone() };
                self.records.save(&new)?;
                if let Err(error) = self.cgroups.limit(&new) {
                    self.records.save(&old)?;
                    let _ = self.cgroups.limit(&old);
                    return Err(error);
                }
                self.groups.insert(new.group.clone(), new);
                Ok(())
            }
            PROPERTY_PRIORITY => {
                refused("scheduling priority", "Linux ranks tasks and not groups of processors")
            }
            PROPERTY_IDLE_RESERVE => {
                refused("idle processor reserve", "Linux cannot keep a number of processors of a cpuset idle")
            }
            _ => Err(CpuGroupError::UnknownProperty { code }),
        }
    }

    /// Moves a process into a group; its later children start there.
    ///
    /// On version 1 a limited group also takes the process out of its cgroup in the cpu hierarchy.
    pub fn join(&mut self, id: &str, pid: u32) -> Result<()> {
        let record = self.record(id)?;
        // Again, because processors or memory that came and went have emptied version 1 cgroups.
        self.cgroups.realise(record)?;
        let joined = (record.group.clone(), self.cgroups.home_of(pid));
        let home = match self.homes.get(&pid) {
            // From one group to another: home is where the process was before the first.
            Some((group, home)) if self.cgroups.members(group)?.0.contains(&pid) => (joined.0, home.clone()),
            _ => joined,
        };
        if let Err(error) = self.cgroups.admit(record, pid) {
            let _ = self.cgroups.dismiss(pid, Some(&home.1));
            return Err(error);
        }
        self.homes.insert(pid, home);
        Ok(())
    }

    /// Moves a process back to where it was before it joined. One that is in no group, or gone, is no error.
    pub fn leave(&mut self, pid: u32) -> Result<()> {
        self.cgroups.dismiss(pid, self.homes.get(&pid).map(|(_, home)| home))?;
        self.homes.remove(&pid);
        Ok(())
    }

    /// The cgroup of a group in the cpuset hierarchy, below which a system's own cgroup can be made.
    pub fn cgroup_of(&self, id: &str) -> Result<PathBuf> {
        Ok(self.cgroups.dir(&self.record(id)?.group))
    }

    fn record(&self, id: &str) -> Result<&GroupRecord> {
        let group = canonical_id(id)?;
        self.groups.get(&group).ok_or(CpuGroupError::NotFound { group })
    }

    fn require_empty(&self, group: &str) -> Result<()> {
        match self.cgroups.members(group)? {
            (processes, 0) if processes.is_empty() => Ok(()),
            (processes, cgroups) => Err(CpuGroupError::InUse { group: group.to_owned(), processes, cgroups }),
        }
    }

    /// Finishes begun deletions, makes recorded groups again, removes what is not recorded and empty.
    fn reconcile(&mut self) {
        for mut record in self.groups.values().cloned().collect::<Vec<_>>() {
            if let Err(problem) = self.restore(&mut record) {
                self.problems.push(problem);
            }
        }
        let found = self.cgroups.found().unwrap_or_else(|problem| {
            self.problems.push(problem);
            Vec::new()
        });
        for group in found.into_iter().filter(|group| !self.groups.contains_key(group)).collect::<Vec<_>>() {
            if let Err(problem) = self.require_empty(&group).and_then(|()| self.cgroups.remove(&group)) {
                self.problems.push(problem);
            }
        }
    }

    fn restore(&mut self, record: &mut GroupRecord) -> Result<()> {
        if record.deleting {
            if self.require_empty(&record.group).is_ok() && self.cgroups.remove(&record.group)? {
                self.groups.remove(&record.group);
                return self.records.remove(&record.group);
            }
            // The deletion had found the group in use, or would have: the group lives on.
            record.deleting = false;
            self.records.save(record)?;
            self.groups.insert(record.group.clone(), record.clone());
        }
        self.cgroups.realise(record)
    }
}

#[cfg(test)]
#[path = "cpu_groups_tests.rs"]
mod tests;

//! CPU groups: named sets of processors that virtual machines are bound to.
//!
//! The service property and the service setting "CpuGroup" end here. The document of a machine names a group, whose processors it is
//! bound to; that of a container cannot. A group is a cgroup `<mount>/<folder>/<id>` with the cpuset controller, plus a record in the state
//! folder. What must hold: a record is written before the cgroup is touched, so that after a crash
//! [`CpuGroups::open`] can finish or undo what was under way; a group with members is never removed.

use std::collections::BTreeMap;
use std::path::Path;

use super::cpu_group_error::CpuGroupError;
use super::cpu_group_records::{GroupRecord, GroupRecords, canonical_id};
use super::cpuset_mount::CpusetMount;
use super::group_cgroups::{FULL_CAPACITY, GroupCgroups};
use super::processor_set;

/// Property code: the group's share of its processors' time in 65536ths.
pub const PROPERTY_CAPACITY: u32 = 0x0001_0000;
/// Property code: scheduling priority.
pub const PROPERTY_PRIORITY: u32 = 0x0002_0000;
/// Property code: processors kept idle.
pub const PROPERTY_IDLE_RESERVE: u32 = 0x0003_0000;

type Result<T> = std::result::Result<T, CpuGroupError>;

/// The CPU groups of this host.
#[derive(Debug)]
pub struct CpuGroups {
    cgroups: GroupCgroups,
    records: GroupRecords,
    groups: BTreeMap<String, GroupRecord>,
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
    /// What cannot be brought there does not keep the service from starting; see [`CpuGroups::problems`]. The
    /// folder below the mount is of this service alone: what is not recorded in `state_dir` is removed from it.
    pub fn open(mount: CpusetMount, folder: &Path, state_dir: &Path) -> Result<Self> {
        let records = GroupRecords::open(state_dir)?;
        let (loaded, problems) = records.load()?;
        let groups = loaded.into_iter().map(|record| (record.group.clone(), record)).collect();
        let cgroups = GroupCgroups::new(mount, folder);
        let mut opened = Self { cgroups, records, groups, problems };
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

    /// Removes the folder of the groups where it is empty.
    pub fn leave(&self) {
        self.cgroups.remove_levels();
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

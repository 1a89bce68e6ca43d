//! The records of CPU groups: one JSON file per group, so that groups outlive the service.
//!
//! [`super::cpu_groups`] writes a record before it acts on a cgroup and reads all of them when it opens. What
//! must hold: a file is named after its group's canonical id and is whole or absent.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cpu_group_error::CpuGroupError;
use super::durable;

/// What is remembered of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Canonical id.
    pub group: String,
    /// Its processors, ascending.
    pub processors: Vec<u32>,
    /// Its share of their time in 65536ths.
    pub capacity: u32,
    /// A deletion has begun; what is left of the group goes as soon as it is empty.
    #[serde(default)]
    pub deleting: bool,
}

/// The folder of records.
#[derive(Debug)]
pub struct GroupRecords {
    dir: PathBuf,
}

impl GroupRecords {
    /// Opens or makes the folder and removes half-written files.
    pub fn open(dir: &Path) -> Result<Self, CpuGroupError> {
        durable::sweep(dir).map_err(|source| CpuGroupError::Record { path: dir.to_owned(), source })?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Reads every record; the second list says which files could not be read as one. Those stay in place.
    pub fn load(&self) -> Result<(Vec<GroupRecord>, Vec<CpuGroupError>), CpuGroupError> {
        let failed = |source| CpuGroupError::Record { path: self.dir.clone(), source };
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                match read(&path) {
                    Ok(record) => records.push(record),
                    Err(source) => damaged.push(CpuGroupError::Record { path, source }),
                }
            }
        }
        records.sort_by(|left: &GroupRecord, right| left.group.cmp(&right.group));
        Ok((records, damaged))
    }

    /// Writes or replaces a record.
    pub fn save(&self, record: &GroupRecord) -> Result<(), CpuGroupError> {
        let name = file_name(&record.group);
        serde_json::to_vec(record)
            .map_err(io::Error::from)
            .and_then(|bytes| durable::write(&self.dir, &name, &bytes))
            .map_err(|source| CpuGroupError::Record { path: self.dir.join(&name), source })
    }

    /// Removes a record.
    pub fn remove(&self, group: &str) -> Result<(), CpuGroupError> {
        let name = file_name(group);
        durable::remove(&self.dir, &name)
            .map_err(|source| CpuGroupError::Record { path: self.dir.join(&name), source })
    }
}

/// The canonical form of a group id: lower case. Everything else is refused, so an id is safe as a file name.
pub fn canonical_id(id: &str) -> Result<String, CpuGroupError> {
    let dashes = [8, 13, 18, 23];
    let is_guid = id.len() == 36
        && id
            .bytes()
            .enumerate()
            .all(|(at, byte)| if dashes.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() });
    if is_guid && id.bytes().any(|byte| byte != b'0' && byte != b'-') {
        Ok(id.to_ascii_lowercase())
    } else {
        Err(CpuGroupError::BadId { given: id.chars().take(64).collect() })
    }
}

fn file_name(group: &str) -> String {
    format!("{group}.json")
}

fn read(path: &Path) -> io::Result<GroupRecord> {
    let record: GroupRecord = serde_json::from_slice(&fs::read(path)?)?;
    let named = path.file_name().is_some_and(|name| name == file_name(&record.group).as_str());
    if named && canonical_id(&record.group).is_ok_and(|id| id == record.group) {
        Ok(record)
    } else {
        let text = format!("the file holds the record of group {:?}", record.group);
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    const ID: &str = "36ab08cb-3a76-4b38-992e-000000000001";

    #[test]
    fn records_come_back_and_damage_is_named() {
        let scratch = Scratch::new("records");
        let records = GroupRecords::open(scratch.path()).unwrap();
        let record = GroupRecord { group: ID.into(), processors: vec![0, 2], capacity: 7, deleting: true };
        records.save(&record).unwrap();
        scratch.put("other.json", &scratch.get(&format!("{ID}.json")));
        scratch.put("broken.json", "{");
        let (loaded, damaged) = records.load().unwrap();
        assert_eq!(loaded, [record]);
        assert_eq!(damaged.len(), 2);
        records.remove(ID).unwrap();
        assert!(records.load().unwrap().0.is_empty());
    }

    #[test]
    fn ids_are_lower_case_guids() {
        assert_eq!(canonical_id("36AB08CB-3A76-4B38-992E-000000000001").unwrap(), ID);
        let bad =
            ["", "../..", "{36ab08cb-3a76-4b38-992e-00000000001}", "00000000-0000-0000-0000-000000000000"];
        for id in bad {
            assert!(matches!(canonical_id(id), Err(CpuGroupError::BadId { .. })), "{id}");
        }
    }
}

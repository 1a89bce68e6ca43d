//! Crash reports that clients hand in, kept as files.
//!
//! `HcsSubmitWerReport` ends here: Linux has no error reporting service that takes a guest's bugcheck, so the
//! report is stored for the administrator. One report is one file, `<time>-<number>.json`, readable by the
//! service's user only. What must hold: a report is whole or absent; the number rises over restarts, so the
//! order does not depend on the clock; there are never more than the allowed number, the oldest go first.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::durable;

/// The largest report taken: a kernel log with room to spare.
pub const MAX_REPORT_BYTES: usize = 4 << 20;

/// The reports in one folder.
#[derive(Debug)]
pub struct CrashStore {
    dir: PathBuf,
    max_reports: usize,
    next_number: u64,
    /// Oldest first.
    entries: VecDeque<CrashEntry>,
}

/// One stored report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashEntry {
    /// The name by which [`CrashStore::read`] finds it.
    pub id: String,
    /// When it was handed in, in seconds since 1970.
    pub time_unix: u64,
    /// The system it is about, as the caller named it.
    pub system_id: String,
}

#[derive(Serialize)]
struct Written<'a> {
    system_id: &'a str,
    time_unix: u64,
    report: &'a RawValue,
}

#[derive(Deserialize)]
struct Head {
    system_id: String,
    time_unix: u64,
    // Checked to be there and skipped; reports can be large.
    #[serde(rename = "report")]
    _report: IgnoredAny,
}

#[derive(Deserialize)]
struct Body {
    report: Box<RawValue>,
}

impl CrashStore {
    /// Opens or makes the folder, removes half-written files, and drops the oldest reports above the bound.
    ///
    /// Files that are not reports of this store are left alone. A bound of 0 counts as 1.
    pub fn open(dir: &Path, max_reports: usize) -> io::Result<Self> {
        durable::sweep(dir)?;
        let mut found = Vec::new();
        let mut next_number = 0;
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            let Some(number) = number_of(id) else { continue };
            // A damaged report is not listed, but its number is not given out again.
            next_number = next_number.max(number.saturating_add(1));
            let Ok(head) = serde_json::from_slice::<Head>(&fs::read(dir.join(&name))?) else { continue };
            let entry =
                CrashEntry { id: id.to_owned(), time_unix: head.time_unix, system_id: head.system_id };
            found.push((number, entry));
        }
        found.sort_by_key(|(number, _)| *number);
        let entries = found.into_iter().map(|(_, entry)| entry).collect();
        let mut store = Self { dir: dir.to_owned(), max_reports: max_reports.max(1), next_number, entries };
        store.drop_oldest()?;
        Ok(store)
    }

    /// Stores a report, which must be one JSON value, and returns its id. The text is kept as it came.
    pub fn submit(&mut self, report_json: &str, system_id: &str) -> io::Result<String> {
        let time_unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if report_json.len() > MAX_REPORT_BYTES {
            let text = format!(
                "the crash report of system \"{system_id}\" has {} bytes, the limit is \
                 {MAX_REPORT_BYTES}: shorten its CrashLog",
                report_json.len()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let report = serde_json::from_str(report_json).map_err(|error| {
            let text = format!("the crash report of system \"{system_id}\" is not JSON: {error}");
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?;
        let id = format!("{time_unix:010}-{:06}", self.next_number);
        let bytes = serde_json::to_vec(&Written { system_id, time_unix, report })?;
        durable::write(&self.dir, &format!("{id}.json"), &bytes)?;
        self.next_number = self.next_number.saturating_add(1);
        self.entries.push_back(CrashEntry { id: id.clone(), time_unix, system_id: system_id.to_owned() });
        // The new report is safe; one too many is dropped with the next one or at the next start.
        let _ = self.drop_oldest();
        Ok(id)
    }

    /// The reports, oldest first.
    pub fn list(&self) -> Vec<CrashEntry> {
        self.entries.iter().cloned().collect()
    }

    /// The text of a report as it was handed in.
    pub fn read(&self, id: &str) -> io::Result<String> {
        // Only names this store gave out are opened, so an id cannot lead elsewhere.
        if !self.entries.iter().any(|entry| entry.id == id) {
            let shown: String = id.chars().take(64).collect();
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no crash report {shown:?}"),
            ));
        }
        let body: Body = serde_json::from_slice(&fs::read(self.dir.join(format!("{id}.json")))?)?;
        Ok(body.report.get().to_owned())
    }

    fn drop_oldest(&mut self) -> io::Result<()> {
        while self.entries.len() > self.max_reports {
            let Some(oldest) = self.entries.front() else { break };
            durable::remove(&self.dir, &format!("{}.json", oldest.id))?;
            self.entries.pop_front();
        }
        Ok(())
    }
}

/// The rising number of an id, or nothing if it is not one: digits, a dash, digits.
fn number_of(id: &str) -> Option<u64> {
    let (time, number) = id.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(time) && digits(number) { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const REPORT: &str = r#"{"SystemId":"vm1", "CrashParameters":[18446744073709551615]}"#;

    #[test]
    fn a_report_is_kept_as_it_came() {
        let scratch = Scratch::new("crash");
        let mut store = CrashStore::open(scratch.path(), 64).unwrap();
        let id = store.submit(REPORT, "vm1").unwrap();
        assert_eq!(store.read(&id).unwrap(), REPORT);
        let file = scratch.path().join(format!("{id}.json"));
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        let listed = CrashStore::open(scratch.path(), 64).unwrap().list();
        assert_eq!(listed, store.list());
        assert_eq!(listed[0].system_id, "vm1");
        assert!(listed[0].time_unix > 1_600_000_000);
    }

    #[test]
    fn the_oldest_go_first_even_after_a_restart() {
        let scratch = Scratch::new("bound");
        let mut store = CrashStore::open(scratch.path(), 3).unwrap();
        let mut ids: Vec<_> = (0..3).map(|n| store.submit(&n.to_string(), "s").unwrap()).collect();
        let mut store = CrashStore::open(scratch.path(), 2).unwrap();
        ids.push(store.submit("3", "s").unwrap());
        let left: Vec<_> = store.list().into_iter().map(|entry| entry.id).collect();
        assert_eq!(left, ids[2..]);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2);
        assert!(store.read(&ids[0]).is_err());
    }

    #[test]
    fn half_written_files_go_and_foreign_files_stay() {
        let scratch = Scratch::new("debris");
        scratch.put(".0000000001-000000.json.tmp", "{");
        scratch.put("0000000001-000007.json", r#"{"system_id":"a","time_unix":1,"report":{}}"#);
        scratch.put("0000000002-000008.json", "cut off");
        scratch.put("readme.json", "{}");
        let mut store = CrashStore::open(scratch.path(), 64).unwrap();
        assert_eq!(store.list().len(), 1);
        assert!(store.submit("{}", "a").unwrap().ends_with("-000009"));
        assert!(!scratch.path().join(".0000000001-000000.json.tmp").exists());
        assert!(scratch.path().join("readme.json").exists());
    }

    #[test]
    fn ids_lead_nowhere_else() {
        let scratch = Scratch::new("paths");
        scratch.put("secret.json", r#"{"report":1}"#);
        scratch.put("store/x.json", r#"{"report":1}"#);
        let store = CrashStore::open(&scratch.path().join("store"), 64).unwrap();
        for id in ["../secret", "x", "", "/etc/passwd", "0-0/../../secret"] {
            assert_eq!(store.read(id).unwrap_err().kind(), io::ErrorKind::NotFound, "{id}");
        }
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let scratch = Scratch::new("refused");
        let mut store = CrashStore::open(scratch.path(), 64).unwrap();
        assert_eq!(store.submit("{", "s").unwrap_err().kind(), io::ErrorKind::InvalidData);
        let large = format!("\"{}\"", "x".repeat(MAX_REPORT_BYTES));
        assert_eq!(store.submit(&large, "s").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(store.list().is_empty());
    }
}

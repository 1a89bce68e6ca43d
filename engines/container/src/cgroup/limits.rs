//! What a group may use: memory, processors, processes, disks, devices.

use std::{fs, io::Write};

use hcs_core::{Cause, Error};

use super::control::{Cgroup, failed};
use crate::{
    confinement::DEVICE_RULES,
    plan::{DiskLimits, Limits, MAX_PROCESSES},
};

/// The period of processor limits, in microseconds.
const PERIOD: u64 = 100_000;

/// What a group has that nobody gave more or less.
const EVERYBODYS_SHARES: u64 = 1024;

impl Cgroup {
    /// Sets the limits of a new group.
    pub(super) fn limit(&self, limits: &Limits) -> Result<(), Error> {
        // Ours is a precaution that a host without the controller cannot take.
        if limits.processes.is_some() || self.folder_of("pids").is_some() {
            let processes = limits.processes.unwrap_or(MAX_PROCESSES);
            self.write("pids", "pids.max", &processes.to_string())?;
        }
        self.set_differences(&Limits::default(), limits)
    }

    /// Sets limits that differ, also back to none. On failure those before hold again.
    pub fn change_limits(&self, old: &Limits, new: &Limits) -> Result<(), Error> {
        self.set_differences(old, new).inspect_err(|_| {
            // What held before can be held again; if not, the first failure is the one to tell.
            let _ = self.set_differences(new, old);
        })
    }

    fn set_differences(&self, old: &Limits, new: &Limits) -> Result<(), Error> {
        let is_v2 = self.is_v2();
        let text = |value: Option<u64>, none: &str| value.map_or(none.to_owned(), |value| value.to_string());
        if new.memory_bytes != old.memory_bytes {
            if is_v2 {
                self.check_room(new.memory_bytes)?;
                self.write("memory", "memory.max", &text(new.memory_bytes, "max"))?;
            } else {
                self.write("memory", "memory.limit_in_bytes", &text(new.memory_bytes, "-1"))?;
            }
        }
        if bandwidth(new) != bandwidth(old) {
            let (quota, period) =
                bandwidth(new).map_or((None, PERIOD), |(quota, period)| (Some(quota), period));
            if is_v2 {
                self.write("cpu", "cpu.max", &format!("{} {period}", text(quota, "max")))?;
            } else {
                self.write("cpu", "cpu.cfs_period_us", &period.to_string())?;
                self.write("cpu", "cpu.cfs_quota_us", &text(quota, "-1"))?;
            }
        }
        if shares(new) != shares(old) {
            let shares = shares(new).unwrap_or(EVERYBODYS_SHARES);
            if is_v2 {
                let of_shares = (shares * 100 / EVERYBODYS_SHARES).clamp(1, 10_000);
                let weight = new.cpu_weight.map_or(of_shares, u64::from);
                self.write("cpu", "cpu.weight", &weight.to_string())?;
            } else {
                self.write("cpu", "cpu.shares", &shares.to_string())?;
            }
        }
        Ok(())
    }

    /// Limits what the group reads and writes on a disk: operations and bytes in a second, each way.
    pub fn limit_disk(&self, disk: &str, limits: &DiskLimits) -> Result<(), Error> {
        if self.is_v2() {
            let mut line = disk.to_owned();
            for (names, value) in [(["riops", "wiops"], limits.operations), (["rbps", "wbps"], limits.bytes)]
            {
                for name in names {
                    line += &value.map(|value| format!(" {name}={value}")).unwrap_or_default();
                }
            }
            return self.write("io", "io.max", &line);
        }
        for (kind, value) in [("iops", limits.operations), ("bps", limits.bytes)] {
            for way in ["read", "write"] {
                if let Some(value) = value {
                    let file = format!("blkio.throttle.{way}_{kind}_device");
                    self.write("blkio", &file, &format!("{disk} {value}"))?;
                }
            }
        }
        Ok(())
    }

    /// v1 refuses a limit below what is used; v2 would kill processes for it.
    fn check_room(&self, bytes: Option<u64>) -> Result<(), Error> {
        let used: u64 = self.read("memory", "memory.current")?.trim().parse().unwrap_or(0);
        match bytes.filter(|bytes| *bytes < used) {
            None => Ok(()),
            Some(bytes) => {
                Err(Error::new(Cause::InUse, format!("the container uses {used} bytes, more than {bytes}")))
            }
        }
    }

    /// Lets the group use the devices of every container and those that are assigned to this one, and no others. v2
    /// has no such file: there the engine takes the capability to make device nodes away instead.
    pub fn confine_devices(&self, assigned: &[String]) -> Result<(), Error> {
        if self.folder_of("devices").is_none() {
            return Ok(());
        }
        self.write("devices", "devices.deny", "a")?;
        let path = self.path("devices", "devices.allow")?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|error| failed(&error, "opening", &path))?;
        for rule in DEVICE_RULES.iter().copied().chain(assigned.iter().map(String::as_str)) {
            // The kernel takes one rule a write.
            file.write_all(rule.as_bytes()).map_err(|error| failed(&error, "writing", &path))?;
        }
        Ok(())
    }
}

/// Microseconds of processor time, and of the period that they are for.
fn bandwidth(limits: &Limits) -> Option<(u64, u64)> {
    if let Some([quota, period]) = limits.cpu_quota {
        return Some((quota, period));
    }
    if let Some(count) = limits.cpu_count {
        return Some((PERIOD * u64::from(count), PERIOD));
    }
    let maximum = u64::from(limits.cpu_maximum?);
    let host = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    Some(((PERIOD * host * maximum / 10_000).max(1_000), PERIOD))
}

/// The relative share of the processors, as v1 counts it.
fn shares(limits: &Limits) -> Option<u64> {
    let of_weight = |weight| (u64::from(weight) * EVERYBODYS_SHARES / 100).max(2);
    limits.cpu_shares.or(limits.cpu_weight.map(of_weight))
}

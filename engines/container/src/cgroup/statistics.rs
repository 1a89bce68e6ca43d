//! Counters of a container, read from its cgroup files and nothing else.

use hcs_core::Error;

use super::control::Cgroup;

/// What a container has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Processor time, in nanoseconds.
    pub cpu_total: u64,
    /// The part in user mode.
    pub cpu_user: u64,
    /// The part in kernel mode.
    pub cpu_system: u64,
    /// Bytes of memory in use, page cache included.
    pub memory: u64,
    /// The most that ever was.
    pub memory_peak: u64,
    /// Bytes of anonymous memory.
    pub memory_private: u64,
    /// Bytes of memory that may be in use; `None` without a limit.
    pub memory_limit: Option<u64>,
    /// How many processes the memory limit has killed.
    pub out_of_memory_kills: u64,
    /// What was read from disks.
    pub read: Traffic,
    /// What was written to disks.
    pub written: Traffic,
}

/// Traffic with disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Operations.
    pub operations: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Cgroup {
    /// Reads the counters. A file that the host lacks leaves its counter at zero.
    pub fn counters(&self) -> Result<Counters, Error> {
        if self.is_v2() { Ok(self.counters_v2()) } else { self.counters_v1() }
    }

    fn counters_v1(&self) -> Result<Counters, Error> {
        let number = |controller, file| {
            self.read(controller, file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
        };
        // A missing group must be told apart from an idle one, so one file is read strictly.
        let memory = self.read("memory", "memory.usage_in_bytes")?.trim().parse().unwrap_or(0);
        let ticks = self.read("cpuacct", "cpuacct.stat").unwrap_or_default();
        let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
        let stat = self.read("memory", "memory.stat").unwrap_or_default();
        let control = self.read("memory", "memory.oom_control").unwrap_or_default();
        let (operations, bytes) = (
            self.read("blkio", "blkio.throttle.io_serviced_recursive").unwrap_or_default(),
            self.read("blkio", "blkio.throttle.io_service_bytes_recursive").unwrap_or_default(),
        );
        let traffic = |way| Traffic { operations: of_disks(&operations, way), bytes: of_disks(&bytes, way) };
        // v1 writes no limit as the most pages that there could be.
        let limit = number("memory", "memory.limit_in_bytes");
        Ok(Counters {
            cpu_total: number("cpuacct", "cpuacct.usage"),
            cpu_user: member(&ticks, "user") * tick,
            cpu_system: member(&ticks, "system") * tick,
            memory,
            memory_peak: number("memory", "memory.max_usage_in_bytes"),
            memory_private: member(&stat, "total_rss"),
            memory_limit: Some(limit).filter(|limit| (1..i64::MAX as u64 - (1 << 20)).contains(limit)),
            out_of_memory_kills: member(&control, "oom_kill"),
            read: traffic("Read"),
            written: traffic("Write"),
        })
    }

    fn counters_v2(&self) -> Counters {
        let text = |file| self.read("", file).unwrap_or_default();
        let number = |file| text(file).trim().parse().unwrap_or(0);
        let (cpu, io) = (text("cpu.stat"), text("io.stat"));
        let traffic =
            |operations, bytes| Traffic { operations: pairs(&io, operations), bytes: pairs(&io, bytes) };
        Counters {
            cpu_total: member(&cpu, "usage_usec") * 1000,
            cpu_user: member(&cpu, "user_usec") * 1000,
            cpu_system: member(&cpu, "system_usec") * 1000,
            memory: number("memory.current"),
            memory_peak: number("memory.peak"),
            memory_private: member(&text("memory.stat"), "anon"),
            memory_limit: text("memory.max").trim().parse().ok(),
            out_of_memory_kills: member(&text("memory.events"), "oom_kill"),
            read: traffic("rios", "rbytes"),
            written: traffic("wios", "wbytes"),
        }
    }
}

/// The number behind a name in a file of `name number` lines.
fn member(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

/// The sum over all disks in a file of `disk way number` lines.
fn of_disks(text: &str, way: &str) -> u64 {
    let number = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        (words.next()? == way).then(|| words.next()?.parse::<u64>().ok())?
    };
    text.lines().filter_map(number).sum()
}

/// The sum over all disks in a file of `disk name=number name=number` lines.
fn pairs(text: &str, name: &str) -> u64 {
    let words = text.split_whitespace().filter_map(|word| word.split_once('='));
    words.filter(|(key, _)| *key == name).filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_summed_over_disks_as_both_versions_write_it() {
        let v1 = "8:0 Read 3\n8:0 Write 4\n8:0 Total 7\n8:16 Read 5\nTotal 12\n";
        assert_eq!((of_disks(v1, "Read"), of_disks(v1, "Write")), (8, 4));
        let v2 =
            "8:0 rbytes=4096 wbytes=1 rios=2 wios=1 dbytes=0\n8:16 rbytes=4 wbytes=0 rios=1 wios=0\n8:32 \n";
        assert_eq!((pairs(v2, "rbytes"), pairs(v2, "rios"), pairs(v2, "wios")), (4100, 3, 1));
    }

    #[test]
    fn a_number_is_found_by_its_whole_name() {
        assert_eq!(member("oom 1\noom_kill 2\n", "oom_kill"), 2);
        assert_eq!(member("oom_kill_disable 7\n", "oom_kill"), 0);
    }
}

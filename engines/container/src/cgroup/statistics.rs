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
    /// Whether the memory limit has killed a process.
    pub out_of_memory_kills: u64,
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
        Ok(Counters {
            cpu_total: number("cpuacct", "cpuacct.usage"),
            cpu_user: member(&ticks, "user") * tick,
            cpu_system: member(&ticks, "system") * tick,
            memory,
            memory_peak: number("memory", "memory.max_usage_in_bytes"),
            memory_private: member(&stat, "total_rss"),
            out_of_memory_kills: member(&control, "oom_kill"),
        })
    }

    fn counters_v2(&self) -> Counters {
        let text = |file| self.read("", file).unwrap_or_default();
        let number = |file| text(file).trim().parse().unwrap_or(0);
        let cpu = text("cpu.stat");
        Counters {
            cpu_total: member(&cpu, "usage_usec") * 1000,
            cpu_user: member(&cpu, "user_usec") * 1000,
            cpu_system: member(&cpu, "system_usec") * 1000,
            memory: number("memory.current"),
            memory_peak: number("memory.peak"),
            memory_private: member(&text("memory.stat"), "anon"),
            out_of_memory_kills: member(&text("memory.events"), "oom_kill"),
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

//! The properties that only the worker knows.

use std::time::{Duration, SystemTime};

use hcs_core::{Error, timestamp};
use hcs_schema::{
    MemoryInformationForVm, MemoryStats, ProcessorStats, Properties, Statistics, StorageStats, VmMemory,
};

use crate::{engine::Engine, system::System};

/// The Statistics property.
pub fn statistics(system: &System) -> Result<Properties, Error> {
    let counters = system.engine()?.counters()?;
    let started = system.started();
    let uptime = started.map_or(Duration::ZERO, |(_, since)| since.elapsed());
    let statistics = Statistics {
        timestamp: Some(timestamp::format(SystemTime::now())),
        container_start_time: started.map(|(time, _)| timestamp::format(time)),
        uptime_100ns: Some((uptime.as_nanos() / 100) as u64),
        processor: Some(ProcessorStats {
            total_runtime_100ns: Some(counters.cpu_total / 100),
            runtime_user_100ns: Some(counters.cpu_user / 100),
            runtime_kernel_100ns: Some(counters.cpu_system / 100),
        }),
        memory: Some(MemoryStats {
            memory_usage_commit_bytes: Some(counters.memory),
            memory_usage_commit_peak_bytes: Some(counters.memory_peak),
            memory_usage_private_working_set_bytes: Some(counters.memory_private),
        }),
        storage: Some(StorageStats {
            read_count_normalized: Some(counters.read.operations),
            read_size_bytes: Some(counters.read.bytes),
            write_count_normalized: Some(counters.written.operations),
            write_size_bytes: Some(counters.written.bytes),
        }),
    };
    Ok(Properties { statistics: Some(statistics), ..Properties::default() })
}

/// The Memory property, in the words for virtual machines: a container has one node, and what it may use is assigned
/// to it.
pub fn memory(system: &System) -> Result<Properties, Error> {
    const PAGE: u64 = 4096;
    let counters = system.engine()?.counters()?;
    let assigned = match system.engine()? {
        Engine::Container(_) | Engine::Bare(_) => {
            counters.memory_limit.unwrap_or_else(memory_of_host).max(PAGE)
        }
        Engine::Machine(machine) => machine.memory_mib() << 20,
    };
    let free = assigned.saturating_sub(counters.memory);
    let memory = VmMemory {
        available_memory: i32::try_from(free as u128 * 100 / u128::from(assigned)).ok(),
        assigned_memory: Some(assigned / PAGE),
        balancing_enabled: Some(false),
        ..VmMemory::default()
    };
    let memory = MemoryInformationForVm {
        virtual_node_count: Some(1),
        virtual_machine_memory: Some(memory),
        ..Default::default()
    };
    Ok(Properties { memory: Some(memory), ..Properties::default() })
}

/// The SharedMemoryRegion property.
pub fn shared_regions(system: &mut System) -> Result<Properties, Error> {
    let regions = system.machine()?.shared_regions()?;
    Ok(Properties { shared_memory_region_info: Some(regions), ..Properties::default() })
}

fn memory_of_host() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) << 10
}

/// The ProcessList property.
pub fn process_list(system: &System) -> Result<Properties, Error> {
    Ok(Properties { process_list: Some(system.engine()?.processes()?), ..Properties::default() })
}

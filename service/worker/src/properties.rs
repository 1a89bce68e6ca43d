//! The properties that only the worker knows.

use std::time::{Duration, SystemTime};

use hcs_core::{Error, timestamp};
use hcs_schema::{MemoryStats, ProcessorStats, Properties, Statistics, StorageStats};

use crate::system::System;

/// The Statistics property.
pub fn statistics(system: &System) -> Result<Properties, Error> {
    let counters = system.container()?.counters()?;
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
        storage: None::<StorageStats>,
    };
    Ok(Properties { statistics: Some(statistics), ..Properties::default() })
}

/// The ProcessList property.
pub fn process_list(system: &System) -> Result<Properties, Error> {
    Ok(Properties { process_list: Some(system.container()?.processes()?), ..Properties::default() })
}

//! Memory and processors.

use hcs_container::plan::Limits;
use hcs_core::{Cause, Error};
use hcs_schema::{ProcessorLimits, VirtualMachine};
use serde::{Deserialize, Serialize};

/// As many as QEMU's machine has without more tables.
const MOST_PROCESSORS: u32 = 255;
/// The kernel, and a little for its user.
const LEAST_MEMORY: u64 = 32;
const MOST_MEMORY: u64 = 1 << 20;
/// Of one processor, in thousandths of a percent.
const WHOLE: u64 = 100_000;

/// The memory of a machine, in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What it boots with.
    pub boot_mib: u64,
    /// What it is to have now.
    pub mib: u64,
    /// The guest tells which pages it has no use for.
    pub gives_back: bool,
    /// It may have more than it boots with.
    pub grows: bool,
}

/// A guest that can get memory beyond the first 4 GiB keeps 64 MiB for devices that cannot reach it, though it has none.
/// A small one is better off with all of what it has, unless its document says that it is to grow.
const LEAST_THAT_GROWS: u64 = 1024;

/// The processors of a machine, and how much of the host's they may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processors {
    /// How many.
    pub count: u32,
    /// Whether the guest may have machines of its own.
    pub nested: bool,
    /// How many of them may not be used at the moment.
    pub idle: u32,
    /// How much of each may be used.
    pub share: Share,
    /// The processors of the host that they run on, if not on all.
    pub of_host: Option<Vec<u32>>,
}

/// How much of the host's processors may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Of each processor, in thousandths of a percent; none is all of it.
    pub limit: Option<u64>,
    /// Against others, 1 to 10000; 100 is what everybody has.
    pub weight: Option<u32>,
}

impl Processors {
    /// The limits of the cgroup.
    pub fn limits(&self) -> Limits {
        const PERIOD: u64 = 100_000;
        /// The kernel takes no smaller one.
        const LEAST: u64 = 1000;
        let working = u64::from(self.count.saturating_sub(self.idle).max(1));
        let is_limited = self.share.limit.is_some() || self.idle > 0;
        let quota = self.share.limit.unwrap_or(WHOLE) * working * PERIOD / WHOLE;
        Limits {
            cpu_quota: is_limited.then_some([quota.max(LEAST), PERIOD]),
            cpu_weight: self.share.weight,
            ..Limits::default()
        }
    }
}

/// Plans both.
pub fn plan(machine: &VirtualMachine) -> Result<(Memory, Processors), Error> {
    const AT: &str = "$.VirtualMachine.ComputeTopology";
    let topology = machine.compute_topology.clone().unwrap_or_default();
    let at = format!("{AT}.Memory.SizeInMB");
    let memory = topology.memory.unwrap_or_default();
    let Some(mib) = memory.size_in_mb else {
        let missing = Error::new(Cause::InvalidData, "the machine has no size of memory");
        return Err(missing.at(at).hint("Say how much it has, in MiB."));
    };
    check_memory(mib, &at)?;
    let processor = topology.processor.unwrap_or_default();
    let at = format!("{AT}.Processor");
    let count = processor.count.unwrap_or(1);
    if !(1..=MOST_PROCESSORS).contains(&count) {
        let detail = format!("found {count}, expected a number from 1 to {MOST_PROCESSORS}");
        return Err(Error::new(Cause::InvalidData, detail).at(format!("{at}.Count")));
    }
    let processors = Processors {
        count,
        nested: processor.expose_virtualization_extensions.unwrap_or(false),
        idle: 0,
        share: share(processor.limit, processor.weight, &at)?,
        of_host: None,
    };
    let gives_back = memory.enable_cold_hint == Some(true) || memory.enable_cold_discard_hint == Some(true);
    let grows = mib >= LEAST_THAT_GROWS || memory.enable_hot_hint == Some(true);
    Ok((Memory { boot_mib: mib, mib, gives_back, grows }, processors))
}

/// Refuses a size that no machine has.
pub fn check_memory(mib: u64, at: &str) -> Result<(), Error> {
    if (LEAST_MEMORY..=MOST_MEMORY).contains(&mib) && mib.is_multiple_of(2) {
        return Ok(());
    }
    let detail = format!("found {mib}, expected an even number from {LEAST_MEMORY} to {MOST_MEMORY}");
    Err(Error::new(Cause::InvalidData, detail).at(at))
}

fn share(limit: Option<u64>, weight: Option<u64>, at: &str) -> Result<Share, Error> {
    let wrong = |member: &str, found: u64, expected: &str| {
        let detail = format!("found {found}, expected {expected}");
        Error::new(Cause::InvalidData, detail).at(format!("{at}.{member}"))
    };
    let limit = match limit {
        None | Some(0 | WHOLE) => None,
        Some(limit @ 1..WHOLE) => Some(limit),
        Some(limit) => return Err(wrong("Limit", limit, "a number from 0 to 100000")),
    };
    let weight = match weight {
        None | Some(0) => None,
        Some(weight @ 1..=10_000) => Some(weight as u32),
        Some(weight) => return Err(wrong("Weight", weight, "a number from 1 to 10000")),
    };
    Ok(Share { limit, weight })
}

/// The share that a later document says.
pub fn later_share(limits: &ProcessorLimits, at: &str) -> Result<Share, Error> {
    let unsupported = |member: &str, why: &str| {
        Error::new(Cause::NotSupported, format!("{member} is not supported: {why}"))
            .at(format!("{at}.{member}"))
    };
    if limits.reservation.is_some_and(|reservation| reservation != 0) {
        return Err(unsupported("Reservation", "Linux gives no guarantee of processor time"));
    }
    if limits.maximum_frequency_mhz.is_some_and(|frequency| frequency != 0) {
        return Err(unsupported(
            "MaximumFrequencyMHz",
            "Linux limits the frequency of processors, not of machines",
        ));
    }
    share(limits.limit, limits.weight, at)
}

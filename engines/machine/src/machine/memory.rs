//! How the memory of a running machine grows and shrinks. What is beyond the memory that it booted with comes and goes
//! block by block, as the guest takes it and gives it back; below that the guest inflates a balloon. What a guest cannot
//! give back of the blocks, because something lies there that does not move, it gives to the balloon.

use std::time::{Duration, Instant};

use hcs_core::Error;
use serde_json::json;

use crate::{
    plan::Memory,
    qmp::{Event, Qmp},
};

const MIB: u64 = 1 << 20;
/// A guest that has given nothing back for so long has no more to give.
const STUCK: Duration = Duration::from_secs(2);

/// What a machine has, in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    boot: u64,
    wanted: u64,
    /// Beyond what it booted with.
    more: u64,
    /// What the balloon leaves of what it booted with.
    left: u64,
    /// What it is to leave.
    to_leave: u64,
    /// When the guest last did something.
    changed: Instant,
}

impl Sizes {
    /// Those of a machine that has just been made, or that goes on where another was.
    pub fn new(memory: &Memory, goes_on: bool) -> Sizes {
        let more = memory.mib.saturating_sub(memory.boot_mib);
        let boot = memory.boot_mib;
        let left = if goes_on { memory.mib.min(boot) } else { boot };
        Sizes { boot, wanted: left + more, more, left, to_leave: left, changed: Instant::now() }
    }

    /// What the guest has now.
    pub fn seen_mib(&self) -> u64 {
        self.left + self.more
    }

    /// Whether the guest has what it is to have.
    pub fn is_reached(&self) -> bool {
        self.seen_mib() == self.wanted
    }

    /// Asks the guest for a size.
    pub fn want(&mut self, qmp: &mut Qmp, mib: u64) -> Result<(), Error> {
        if mib == self.wanted {
            return Ok(());
        }
        let more = mib.saturating_sub(self.boot);
        if more != self.wanted.saturating_sub(self.boot) {
            let path = "/machine/peripheral/growth";
            let size = json!({"path": path, "property": "requested-size", "value": more * MIB});
            qmp.run("qom-set", size)?;
        }
        self.leave(qmp, mib.min(self.boot))?;
        self.wanted = mib;
        self.changed = Instant::now();
        Ok(())
    }

    fn leave(&mut self, qmp: &mut Qmp, mib: u64) -> Result<(), Error> {
        if mib != self.to_leave {
            qmp.run("balloon", json!({"value": mib * MIB}))?;
            self.to_leave = mib;
        }
        Ok(())
    }

    /// When [`Sizes::pursue`] has something to do.
    pub fn stuck_at(&self) -> Option<Instant> {
        let has_too_much = self.more > self.wanted.saturating_sub(self.boot);
        let is_covered = self.to_leave + self.more == self.wanted;
        (has_too_much && !is_covered).then(|| self.changed + STUCK)
    }

    /// Has the balloon make up for blocks that the guest does not give back.
    pub fn pursue(&mut self, qmp: &mut Qmp) -> Result<(), Error> {
        // The guest has given back what it could not before.
        let has_too_little = self.to_leave + self.more < self.wanted && self.to_leave < self.boot;
        let is_stuck = self.stuck_at().is_some_and(|at| at <= Instant::now());
        match has_too_little || is_stuck {
            true => {
                let left = self.leave(qmp, self.wanted.saturating_sub(self.more).min(self.boot));
                // One that fails is tried again later, not at once and for ever.
                left.inspect_err(|_| self.changed = Instant::now())
            }
            false => Ok(()),
        }
    }

    /// Notes what the guest has done.
    pub fn note(&mut self, event: &Event) {
        match event.name.as_str() {
            "MEMORY_DEVICE_SIZE_CHANGE" if event.data["id"] == "growth" => {
                self.more = event.data["size"].as_u64().unwrap_or(0) / MIB;
            }
            // What is beyond does not count there.
            "BALLOON_CHANGE" => {
                self.left = (event.data["actual"].as_u64().unwrap_or(0) / MIB).min(self.boot);
            }
            _ => return,
        }
        self.changed = Instant::now();
    }
}

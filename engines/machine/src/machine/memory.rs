//! How the memory of a running machine grows and shrinks. What is beyond the memory that it booted with comes and goes
//! block by block, as the guest takes it and gives it back; below that the guest inflates a balloon.

use hcs_core::Error;
use serde_json::json;

use crate::{
    plan::Memory,
    qmp::{Event, Qmp},
};

const MIB: u64 = 1 << 20;

/// What a machine has, in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    boot: u64,
    wanted: u64,
    /// Beyond what it booted with.
    more: u64,
    /// What the balloon leaves of that.
    left: u64,
}

impl Sizes {
    /// Those of a machine that has just been made.
    pub fn new(memory: &Memory) -> Sizes {
        let more = memory.mib.saturating_sub(memory.boot_mib);
        Sizes { boot: memory.boot_mib, wanted: memory.boot_mib + more, more, left: memory.boot_mib }
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
        let (more, left) = (mib.saturating_sub(self.boot), mib.min(self.boot));
        if more != self.wanted.saturating_sub(self.boot) {
            let size = json!({"path": "growth", "property": "requested-size", "value": more * MIB});
            qmp.run("qom-set", size)?;
        }
        if left != self.wanted.min(self.boot) {
            qmp.run("balloon", json!({"value": left * MIB}))?;
        }
        self.wanted = mib;
        Ok(())
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
            _ => {}
        }
    }
}

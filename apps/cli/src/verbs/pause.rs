//! `hcs pause`

use super::Targets;
use crate::{Context, failure::Failure};

/// Suspend running systems: their processes stand still and keep their memory.
#[derive(clap::Args)]
pub struct Pause {
    #[command(flatten)]
    targets: Targets,
}

impl Pause {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        self.targets.each(context, |system| Ok(system.pause(None).wait()?))
    }
}

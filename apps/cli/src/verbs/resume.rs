//! `hcs resume`

use super::Targets;
use crate::{Context, failure::Failure};

/// Continue paused systems.
#[derive(clap::Args)]
pub struct Resume {
    #[command(flatten)]
    targets: Targets,
}

impl Resume {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        self.targets.each(context, |system| Ok(system.resume().wait()?))
    }
}

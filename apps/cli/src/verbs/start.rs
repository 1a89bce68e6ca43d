//! `hcs start`

use super::Targets;
use crate::{Context, failure::Failure};

/// Start systems that were created.
#[derive(clap::Args)]
pub struct Start {
    #[command(flatten)]
    targets: Targets,
}

impl Start {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        self.targets.each(context, |system| Ok(system.start().wait()?))
    }
}

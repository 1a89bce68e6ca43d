//! `hcs stop`

use super::Targets;
use crate::{Context, failure::Failure};

/// Ask systems to shut down, and wait for their end.
///
/// Processes that ignore the request are killed after ten seconds.
#[derive(clap::Args)]
pub struct Stop {
    #[command(flatten)]
    targets: Targets,
    /// Only ask; do not wait for the end.
    #[arg(long)]
    no_wait: bool,
}

impl Stop {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        self.targets.each(context, |system| {
            system.shut_down(None).wait()?;
            if !self.no_wait {
                system.wait_blocking()?;
            }
            Ok(())
        })
    }
}

//! `hcs stop`

use super::Target;
use crate::{Context, failure::Failure};

/// Ask a system to shut down, and wait for its end.
///
/// Processes that ignore the request are killed after ten seconds.
#[derive(clap::Args)]
pub struct Stop {
    #[command(flatten)]
    target: Target,
    /// Only ask; do not wait for the end.
    #[arg(long)]
    no_wait: bool,
}

impl Stop {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let system = self.target.open(context)?;
        system.shut_down(None).wait()?;
        if !self.no_wait {
            system.wait_blocking()?;
        }
        Ok(())
    }
}

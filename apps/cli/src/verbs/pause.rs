//! `hcs pause`

use super::Target;
use crate::{Context, failure::Failure};

/// Suspend a running system: its processes stand still and keep their memory.
#[derive(clap::Args)]
pub struct Pause {
    #[command(flatten)]
    target: Target,
}

impl Pause {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        Ok(self.target.open(context)?.pause(None).wait()?)
    }
}

//! `hcs start`

use super::Target;
use crate::{Context, failure::Failure};

/// Start a system that was created.
#[derive(clap::Args)]
pub struct Start {
    #[command(flatten)]
    target: Target,
}

impl Start {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        Ok(self.target.open(context)?.start().wait()?)
    }
}

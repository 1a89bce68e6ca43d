//! `hcs resume`

use super::Target;
use crate::{Context, failure::Failure};

/// Continue a paused system.
#[derive(clap::Args)]
pub struct Resume {
    #[command(flatten)]
    target: Target,
}

impl Resume {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        Ok(self.target.open(context)?.resume().wait()?)
    }
}

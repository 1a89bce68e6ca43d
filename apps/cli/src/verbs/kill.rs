//! `hcs kill`

use super::Target;
use crate::{Context, failure::Failure};

/// End a system at once, in whatever state it is.
///
/// When this command returns, nothing of the system is left.
#[derive(clap::Args)]
pub struct Kill {
    #[command(flatten)]
    target: Target,
}

impl Kill {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        Ok(self.target.open(context)?.terminate().wait()?)
    }
}

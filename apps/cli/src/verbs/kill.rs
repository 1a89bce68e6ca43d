//! `hcs kill`

use super::Targets;
use crate::{Context, failure::Failure};

/// End systems at once, in whatever state they are.
///
/// When this command returns, nothing of them is left.
#[derive(clap::Args)]
pub struct Kill {
    #[command(flatten)]
    targets: Targets,
}

impl Kill {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        self.targets.each(context, |system| Ok(system.terminate().wait()?))
    }
}

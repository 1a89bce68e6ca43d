//! `hcs crash`

use super::Target;
use crate::{Context, failure::Failure};

/// Make the guest of a virtual machine crash: its kernel is interrupted in a way that it cannot mask.
#[derive(clap::Args)]
pub struct Crash {
    #[command(flatten)]
    target: Target,
}

impl Crash {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        Ok(self.target.open(context)?.crash(None).wait()?)
    }
}

//! `hcs screenshot`

use std::path::PathBuf;

use super::Target;
use crate::{Context, failure::Failure};

/// Write a picture of a virtual machine's screen to a file, as PNG.
#[derive(clap::Args)]
pub struct Screenshot {
    #[command(flatten)]
    target: Target,
    /// The file; it is written over.
    file: PathBuf,
}

impl Screenshot {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let picture = self.target.open(context)?.screenshot().wait()?;
        let doing = format!("writing {}", self.file.display());
        std::fs::write(&self.file, picture).map_err(|error| Failure::io(&error, &doing))
    }
}

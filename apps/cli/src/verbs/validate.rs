//! `hcs validate`

use hcs::schema::{self, ComputeSystem};

use crate::{document::Source, failure::Failure, output};

/// Check a system's document, without a service: every mistake with its place and what was meant.
///
/// Only the form is checked. Whether this host can do what the document asks is found out by create.
#[derive(clap::Args)]
pub struct Validate {
    #[command(flatten)]
    document: Source,
}

impl Validate {
    pub fn run(self) -> Result<(), Failure> {
        let mistakes = schema::mistakes::<ComputeSystem>(&self.document.read()?);
        for mistake in &mistakes {
            output::line(&mistake.to_string())?;
        }
        match mistakes.len() {
            0 => output::line(&format!("{} is valid", self.document.name())),
            1 => Err(Failure::new(format!("{} has a mistake", self.document.name()))),
            count => Err(Failure::new(format!("{} has {count} mistakes", self.document.name()))),
        }
    }
}

//! `hcs save`

use std::path::PathBuf;

use hcs::{
    access, saved,
    schema::{SaveOptions, SaveType},
};

use super::Target;
use crate::{Context, failure::Failure, host_path, progress::Busy};

/// Save a paused virtual machine, to a file or as a template for clones.
///
/// A file that is not there is made, and the machine is allowed to write it. The machine stays paused; a template does not
/// go on any more.
#[derive(clap::Args)]
pub struct Save {
    #[command(flatten)]
    target: Target,
    /// The file.
    #[arg(required_unless_present = "template")]
    file: Option<PathBuf>,
    /// Make it a template, which is kept in memory as long as its system is there.
    #[arg(long, conflicts_with = "file")]
    template: bool,
}

impl Save {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let system = self.target.open(context)?;
        let _busy = Busy::with("saving the memory");
        let Some(file) = self.file else {
            return Ok(system.save(&SaveOptions::default().save_type(SaveType::AsTemplate)).wait()?);
        };
        let file = host_path::absolute(&file)?;
        if !file.exists() {
            saved::create_empty_runtime_state(&file)?;
            access::grant(&file, context.client()?.machine_user(system.id()).wait()?)?;
        }
        let options = SaveOptions::default().save_type(SaveType::ToFile);
        Ok(system.save(&options.save_state_file_path(file.display().to_string())).wait()?)
    }
}

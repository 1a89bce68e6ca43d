//! `hcs save`

use std::{
    fs,
    path::{Path, PathBuf},
};

use hcs::{
    Cause, Error, System, access, saved,
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
        if file.exists() {
            return Ok(save_to(&system, &file)?);
        }
        let client = context.client()?;
        saved::create_empty_runtime_state(&file)?;
        let granted = client.machine_user(system.id()).wait().and_then(|who| access::grant(&file, who));
        let saved = granted.and_then(|()| save_to(&system, &file));
        // Else the next try would take it for one that the machine may write already. Where the service is lost, it may be saved.
        if saved.as_ref().is_err_and(|error| error.cause != Cause::ServiceDisconnect) {
            let _ = fs::remove_file(&file);
        }
        Ok(saved?)
    }
}

fn save_to(system: &System, file: &Path) -> Result<(), Error> {
    let options = SaveOptions::default().save_type(SaveType::ToFile);
    system.save(&options.save_state_file_path(file.display().to_string())).wait()
}

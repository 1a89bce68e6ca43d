//! `hcs restore`

use std::path::PathBuf;

use hcs::{
    access,
    schema::{ComputeSystem, RestoreState},
};

use crate::{Context, document::Source, failure::Failure, host_path, output};

/// Make a virtual machine that goes on where another was saved, and start it.
///
/// The document is that of the machine that was saved. From a file it goes on once; of a template there may be any number
/// of clones, each with an identity of its own.
#[derive(clap::Args)]
pub struct Restore {
    /// The id of the new machine.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    document: Source,
    /// The file that it was saved to, which the new machine is allowed to use.
    #[arg(long, value_name = "FILE", required_unless_present = "template")]
    from: Option<PathBuf>,
    /// The id of the template that it is to be a clone of.
    #[arg(long, value_name = "ID", conflicts_with = "from")]
    template: Option<String>,
    /// Leave it as it was made; `hcs start` lets it go on.
    #[arg(long)]
    no_start: bool,
}

impl Restore {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let mut document: ComputeSystem = self.document.read_strict()?;
        let Some(machine) = &mut document.virtual_machine else {
            return Err(Failure::new(format!(
                "{}: $.VirtualMachine: found nothing; only virtual machines are saved",
                self.document.name()
            )));
        };
        let client = context.client()?;
        let mut state = RestoreState::default();
        if let Some(file) = &self.from {
            let file = host_path::absolute(file)?;
            // The machine that was saved could write it; the new one is another user.
            access::grant(&file, client.machine_user(&self.id).wait()?)?;
            state = state.save_state_file_path(file.display().to_string());
        }
        if let Some(template) = &self.template {
            state = state.template_system_id(template.clone());
        }
        machine.restore_state = Some(state);
        let system = client.create(&self.id, &document).wait()?;
        output::warn_of(&system);
        if !self.no_start
            && let Err(error) = system.start().wait()
        {
            // What was not started is of no use; why it was not is what there is to tell.
            let _ = system.terminate().wait();
            return Err(error.into());
        }
        output::line(system.runtime_id())
    }
}

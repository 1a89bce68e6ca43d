//! `hcs run`

use std::process::ExitCode;

use hcs::{
    System,
    schema::{ProcessParameters, SystemExitStatus},
};
use hcs_core::random;

use crate::{
    Context,
    attach::{How, NOT_RUN},
    failure::Failure,
    output,
    recipe::{Limits, Recipe},
    scratch::{self, Scratch},
};

/// Make a system, run a process in it, and end it with the process.
///
/// The exit code is that of the process: 128 and the signal's number if it died of a signal, and 125 if it could
/// not be run at all. The system ends with this command, however this command ends.
#[derive(clap::Args)]
pub struct Run {
    /// The id of the system [default: one that no other has].
    #[arg(long, value_name = "ID")]
    name: Option<String>,
    /// Do not wait: print the id and leave the system running. It stays, also when its process has ended; `hcs logs` shows what that says.
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    detach: bool,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    limits: Limits,
    /// An image by its name, a folder with a root file system (with a / in its name), or a document (a file *.json, or -).
    source: String,
    /// The program and its arguments [default: those of the image, or of the document].
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Run {
    pub fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        self.make_and_run(context).map_err(|failure| failure.exit_with(NOT_RUN))
    }

    fn make_and_run(self, context: &Context) -> Result<ExitCode, Failure> {
        if self.detach && context.is_private {
            return Err(Failure::new(
                "a private service ends with this command, so --detach would leave nothing",
            ));
        }
        let client = context.client()?;
        let id = match &self.name {
            Some(name) => name.clone(),
            None => unused_id()?,
        };
        let mut recipe =
            Recipe::new(&self.source, &self.command, &self.how, &self.limits, &scratch::place(&id)?)?;
        let scratch = match recipe.needs_scratch {
            true => Some(Scratch::make(&client, &context.options.socket, &id)?),
            false => None,
        };
        let document = &mut recipe.document;
        document.should_terminate_on_last_handle_closed = Some(!self.detach);
        let is_machine = document.virtual_machine.is_some();
        let creating = client.create(&id, document);
        // While that takes its time.
        if scratch.is_some() {
            scratch::sweep(&client, &context.options.socket);
        }
        let system = creating.wait()?;
        output::warn_of(&system);
        if self.detach {
            if let Err(failure) = self.start_detached(&system, is_machine, recipe.parameters) {
                // What failed is told; that it cannot be removed either would hide it.
                let _ = system.terminate().wait();
                return Err(failure);
            }
            if let Some(scratch) = scratch {
                scratch.leave_to_system();
            }
            // It stays, also when nobody reads its id.
            return output::line(system.id()).map(|()| ExitCode::SUCCESS);
        }
        system.start().wait()?;
        let outcome = if is_machine && self.command.is_empty() {
            system.wait_blocking().map(|status| code_of(&status)).map_err(Failure::from)
        } else {
            self.how.attach(&system, &recipe.parameters)
        };
        // A system that has ended by itself needs no end.
        let _ = system.terminate().wait();
        outcome
    }

    fn start_detached(
        &self,
        system: &System,
        is_machine: bool,
        parameters: ProcessParameters,
    ) -> Result<(), Failure> {
        system.start().wait()?;
        if !is_machine || !self.command.is_empty() {
            system.run(&hcs::output::kept(parameters)).wait()?;
        }
        Ok(())
    }
}

/// An id that no other system has.
fn unused_id() -> Result<String, Failure> {
    let bytes = random::bytes().map_err(|error| Failure::io(&error.into(), "finding a name"))?;
    Ok(format!("run-{:08x}", u32::from_ne_bytes(bytes)))
}

fn code_of(status: &SystemExitStatus) -> ExitCode {
    if status.status.unwrap_or(0) < 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

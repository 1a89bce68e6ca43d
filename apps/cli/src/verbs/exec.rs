//! `hcs exec`

use std::process::ExitCode;

use super::Target;
use crate::{
    Context,
    attach::{How, NOT_RUN},
    failure::Failure,
};

/// Run a process in a system, with its input and output here.
///
/// The exit code is that of the process: 128 and the signal's number if it died of a signal, and 125 if it could
/// not be run at all. Signals that this command gets go to the process.
#[derive(clap::Args)]
pub struct Exec {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    how: How,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Exec {
    pub fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let exec = || self.how.attach(&self.target.open(context)?, &self.how.parameters(&self.command));
        exec().map_err(|failure| failure.exit_with(NOT_RUN))
    }
}

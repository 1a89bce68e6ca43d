//! `hcs ops`

use crate::{Context, failure::Failure, output::Table};

/// List the calls that the service has not answered yet, of all clients.
///
/// It answers also while a call hangs, and says in which step.
#[derive(clap::Args)]
pub struct Ops {}

impl Ops {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let mut table = Table::new(["METHOD", "ID", "STEP", "FOR"]);
        for operation in context.client()?.operations().wait()? {
            let method = operation.method.rsplit('.').next().unwrap_or_default().to_owned();
            let age = format!("{:.1}s", operation.milliseconds as f64 / 1e3);
            table.row([method, operation.id.unwrap_or_default(), operation.step, age]);
        }
        Ok(table.print()?)
    }
}

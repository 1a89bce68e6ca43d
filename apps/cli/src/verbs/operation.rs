//! `hcs operation`

use crate::{
    Context,
    failure::Failure,
    output::{self, Table},
};

/// List the calls that the service has not answered yet, of all clients; wait for one, or cancel it.
///
/// It answers also while a call hangs, and says in which step.
#[derive(clap::Args)]
#[command(visible_alias = "ops")]
pub struct Operation {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// List the calls, the oldest first.
    #[command(visible_alias = "ls")]
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Wait until a call has been answered. One that is not there any more has been.
    Wait {
        /// Its key in the list.
        key: u64,
    },
    /// Cancel a call that can be cancelled: the creation of a system.
    Cancel {
        /// Its key in the list.
        key: u64,
    },
}

impl Operation {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.what {
            What::List { json } => list(&client, json),
            What::Wait { key } => Ok(client.wait_for_operation(key).wait()?),
            What::Cancel { key } => Ok(client.cancel_operation(key).wait()?),
        }
    }
}

fn list(client: &hcs::Client, json: bool) -> Result<(), Failure> {
    let operations = client.operations().wait()?;
    if json {
        let rows: Vec<_> = operations
            .iter()
            .map(|operation| {
                serde_json::json!({
                    "Key": operation.key,
                    "Method": operation.method,
                    "Id": operation.id,
                    "Step": operation.step,
                    "Milliseconds": operation.milliseconds,
                    "CanBeCancelled": operation.can_be_cancelled,
                })
            })
            .collect();
        return output::json_array(rows);
    }
    let mut table = Table::new(["KEY", "METHOD", "ID", "STEP", "FOR", "CANCEL"]);
    for operation in operations {
        let age = format!("{:.1}s", operation.milliseconds as f64 / 1e3);
        let can_be_cancelled = if operation.can_be_cancelled { "yes" } else { "no" };
        table.row([
            operation.key.to_string(),
            operation.method,
            operation.id.unwrap_or_default(),
            operation.step,
            age,
            can_be_cancelled.to_owned(),
        ]);
    }
    table.print()
}

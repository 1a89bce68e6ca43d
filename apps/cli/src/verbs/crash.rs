//! `hcs crash`

use serde_json::json;

use crate::{
    Context,
    failure::Failure,
    output::{self, Table},
    target::Target,
};

/// Look at the crash reports that the service keeps, or make a guest crash.
#[derive(clap::Args)]
pub struct Crash {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// List the reports.
    #[command(visible_alias = "ls")]
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Print a report as JSON.
    Show {
        /// Its name in the list.
        report: String,
    },
    /// Make the guest of a virtual machine crash: its kernel is interrupted in a way that it cannot mask.
    Guest {
        #[command(flatten)]
        target: Target,
    },
}

impl Crash {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        match self.what {
            What::List { json } => list(context, json),
            What::Show { report } => {
                let document = context.client()?.crash_report(&report).wait()?;
                output::json(document.get())
            }
            What::Guest { target } => Ok(target.open(context)?.crash(None).wait()?),
        }
    }
}

fn list(context: &Context, json: bool) -> Result<(), Failure> {
    let reports = context.client()?.crash_reports().wait()?;
    if json {
        let rows: Vec<_> = reports
            .iter()
            .map(|entry| json!({ "Report": entry.report, "Id": entry.id, "Time": entry.time }))
            .collect();
        return output::json_array(rows);
    }
    let mut table = Table::new(["REPORT", "SYSTEM", "SECONDS-SINCE-1970"]);
    for entry in reports {
        table.row([entry.report, entry.id, entry.time.to_string()]);
    }
    table.print()
}

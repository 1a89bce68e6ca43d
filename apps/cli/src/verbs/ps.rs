//! `hcs ps`

use hcs::schema::{ProcessDetails, SystemPropertyQuery, SystemPropertyType};

use super::Target;
use crate::{Context, failure::Failure, output::Table};

/// List the processes in a system.
#[derive(clap::Args)]
pub struct Ps {
    #[command(flatten)]
    target: Target,
}

impl Ps {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let query = SystemPropertyQuery {
            property_types: Some(vec![SystemPropertyType::ProcessList]),
            ..Default::default()
        };
        let properties = self.target.open(context)?.properties(Some(&query)).wait()?;
        let mut table = Table::new(["PID", "NAME", "STARTED", "CPU", "MEMORY"]);
        for process in properties.process_list.unwrap_or_default() {
            table.row(row(process));
        }
        table.print()
    }
}

fn row(process: ProcessDetails) -> [String; 5] {
    let time = process.user_time_100ns.unwrap_or(0) + process.kernel_time_100ns.unwrap_or(0);
    let resident = process.memory_working_set_private_bytes.unwrap_or(0)
        + process.memory_working_set_shared_bytes.unwrap_or(0);
    [
        process.process_id.map(|id| id.to_string()).unwrap_or_default(),
        process.image_name.unwrap_or_default(),
        process.create_timestamp.unwrap_or_default(),
        format!("{:.2}s", time as f64 / 1e7),
        format!("{}K", resident >> 10),
    ]
}

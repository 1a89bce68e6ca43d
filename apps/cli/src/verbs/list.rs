//! `hcs list`

use hcs::schema::Properties;

use crate::{
    Context,
    failure::Failure,
    output::{self, Table},
};

/// List the systems of this host.
#[derive(clap::Args)]
#[command(visible_alias = "ls")]
pub struct List {
    /// Print the properties of the systems as a JSON array.
    #[arg(long)]
    json: bool,
    /// Print the ids and nothing else.
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
}

impl List {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let systems = context.client()?.list(None).wait()?;
        if self.json {
            let texts: Result<Vec<String>, Failure> = systems.iter().map(super::text_of).collect();
            return output::json(&format!("[{}]", texts?.join(",")));
        }
        if self.quiet {
            let ids = systems.into_iter().filter_map(|system| system.id);
            return output::lines(ids);
        }
        let mut table = Table::new(["ID", "STATE", "TYPE", "OWNER", "RUNTIME-ID"]);
        for system in systems {
            table.row(row(system));
        }
        table.print()
    }
}

fn row(system: Properties) -> [String; 5] {
    [
        system.id.unwrap_or_default(),
        // A virtual machine that was never started has no state in its properties.
        system.state.map_or("Created", |state| state.as_str()).to_owned(),
        system.system_type.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        system.owner.unwrap_or_default(),
        system.runtime_id.map(|id| id.to_string()).unwrap_or_default(),
    ]
}

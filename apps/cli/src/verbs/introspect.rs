//! `hcs introspect`

use hcs_ipc::interface::NAME;
use serde_json::{Map, Value, json};

use super::call::call;
use crate::{Context, failure::Failure, output};

/// Print the interface of the service as it describes itself: every method with its meaning.
///
/// `hcs call` makes calls of it. Any Varlink library can, and any program that writes JSON to a Unix socket.
#[derive(clap::Args)]
pub struct Introspect {
    /// Another interface than io.hcs.Compute.
    #[arg(default_value = NAME, hide_default_value = true)]
    interface: String,
    /// Print what the service says of itself, with the names of its interfaces, as JSON.
    #[arg(long, conflicts_with = "interface")]
    service: bool,
}

impl Introspect {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        if self.service {
            let about = call(&client, "org.varlink.service.GetInfo", &Map::new())?;
            return output::json(about.get());
        }
        let mut parameters = Map::new();
        parameters.insert("interface".to_owned(), json!(self.interface));
        let reply = call(&client, "org.varlink.service.GetInterfaceDescription", &parameters)?;
        let reply: Value = serde_json::from_str(reply.get())
            .map_err(|error| Failure::new(format!("the reply of the service: {error}")))?;
        output::line(reply["description"].as_str().unwrap_or_default().trim_end())
    }
}

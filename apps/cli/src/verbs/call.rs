//! `hcs call`

use std::sync::mpsc;

use hcs::schema::Any;
use serde_json::{Map, Value};

use crate::{Context, failure::Failure, output, target};

/// Make any call of the service's interface, and print its reply as JSON
///
/// Handles live as long as a connection, so a call that needs one takes it from --system:
///
///   hcs call --system web GetComputeSystemProperties '{"query":{"PropertyTypes":["Statistics"]}}'
///
/// `hcs introspect` prints the interface.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Call {
    /// The method; without an interface it is one of io.hcs.Compute.
    method: String,
    /// Its parameters, a JSON object.
    #[arg(default_value = "{}", hide_default_value = true)]
    parameters: String,
    /// Open this system and pass its handle as the parameter "handle".
    #[arg(long, value_name = "ID")]
    system: Option<String>,
}

impl Call {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let mut parameters: Map<String, Value> = serde_json::from_str(&self.parameters)
            .map_err(|error| Failure::new(format!("the parameters are no JSON object: {error}")))?;
        let client = context.client()?;
        let system = self.system.map(|name| target::open(&client, &name)).transpose()?;
        if let Some(system) = &system {
            parameters.insert("handle".to_owned(), system.handle().into());
        }
        let method =
            if self.method.contains('.') { self.method } else { format!("io.hcs.Compute.{}", self.method) };
        let reply = call(&client, &method, &parameters)?;
        output::json(reply.get())
    }
}

/// Makes a call, and gives the parameters of its reply.
pub fn call(client: &hcs::Client, method: &str, parameters: &Map<String, Value>) -> Result<Any, hcs::Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let ticket = client.link().call_raw(method, parameters, move |outcome| {
        // The receiver waits below. Descriptors of the reply are of no use here.
        let _ = sender.send(outcome.map(|received| received.parameters));
    });
    ticket.wait(None);
    receiver.recv().unwrap_or_else(|_| Err(hcs::Cause::ServiceDisconnect.into()))
}

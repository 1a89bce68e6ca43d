//! `hcs events`

use std::{
    thread,
    time::{Duration, Instant},
};

use hcs::{Client, EventStream, SystemEvent, link::PATIENCE};

use crate::{Context, failure::Failure, output};

/// How often a service that was lost is looked for.
const PAUSE: Duration = Duration::from_millis(50);

/// Follow what happens to systems, beginning with those that are there.
///
/// A restart of the service is bridged. If events were lost by it, the systems that are there are told again.
#[derive(clap::Args)]
pub struct Events {
    /// Only of this system.
    id: Option<String>,
    /// Print each event as a line of JSON.
    #[arg(long)]
    json: bool,
}

impl Events {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let mut stream = client.events(None)?;
        let mut last = None;
        loop {
            match stream.next_blocking() {
                Some(Ok(event)) => {
                    last = Some(event.sequence);
                    self.print(&event)?;
                }
                Some(Err(error)) => stream = again(&client, last).ok_or(error)?,
                None => return Ok(()),
            }
        }
    }

    fn print(&self, event: &SystemEvent) -> Result<(), Failure> {
        // Ids compare without case.
        if self.id.as_ref().is_some_and(|id| id.to_uppercase() != event.id.to_uppercase()) {
            return Ok(());
        }
        if self.json {
            let text = serde_json::to_string(event).map_err(|error| Failure::new(error.to_string()))?;
            return output::line(&text);
        }
        let kind = serde_json::to_string(&event.r#type).unwrap_or_default();
        let data = event.data.as_ref().map(|data| data.get()).unwrap_or_default();
        let line = format!("{:14} {} {} {data}", kind.trim_matches('"'), event.id, event.state);
        output::line(line.trim_end())
    }
}

/// The stream once more, if the service comes back in time.
fn again(client: &Client, since: Option<u64>) -> Option<EventStream> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Ok(stream) = client.events(since) {
            return Some(stream);
        }
        thread::sleep(PAUSE);
    }
    None
}

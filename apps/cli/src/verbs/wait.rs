//! `hcs wait`

use std::{process::ExitCode, sync::mpsc, thread, time::Duration};

use hcs::{System, schema::SystemExitStatus};

use crate::{Context, failure::Failure, output, target::Target};

/// What `timeout` has made everybody expect.
const TIMED_OUT: u8 = 124;

/// Wait for the end of a system, and print how it ended.
#[derive(clap::Args)]
pub struct Wait {
    #[command(flatten)]
    target: Target,
    /// Wait no longer than so many seconds; the exit code is 124 then.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Print the whole exit status as JSON.
    #[arg(long)]
    json: bool,
}

impl Wait {
    pub fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let system = self.target.open(context)?;
        let Some(status) = self.wait(system)? else {
            return Ok(ExitCode::from(TIMED_OUT));
        };
        if self.json {
            output::json(&super::text_of(&status)?)?;
        } else {
            output::line(status.exit_type.map_or("unknown", |kind| kind.as_str()))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn wait(&self, system: System) -> Result<Option<SystemExitStatus>, Failure> {
        let Some(limit) = self.timeout else { return Ok(Some(system.wait_blocking()?)) };
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            // Nobody listens any more when the time is over.
            let _ = sender.send(system.wait_blocking());
        });
        Ok(receiver.recv_timeout(limit).ok().transpose()?)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok();
    let duration = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
    duration.ok_or_else(|| "expected a number of seconds that is not negative".to_owned())
}

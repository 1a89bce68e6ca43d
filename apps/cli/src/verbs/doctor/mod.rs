//! `hcs doctor`
//!
//! ```text
//!   check       what a check has found: plain data
//!   host        where checks look, so that tests can have them look at a recorded host
//!   service     who may ask the service, and whether it answers
//!   containers  what the kernel has for containers
//!   programs    the programs of the host, for networks, disks and virtual machines
//!   limits      how much there is of what runs out
//! ```
//!
//! What only the service knows it tells by `GetHostReport`. Without a service the rest is told all the same.

mod check;
mod containers;
mod host;
mod limits;
mod programs;
mod service;

use std::process::ExitCode;

use serde_json::json;

use crate::{
    Context,
    failure::Failure,
    output::{self, Table},
};
use check::{Check, State};
use host::Host;

/// Tell what this host can do, what it lacks, and what to do about it.
///
/// It ends with 0 if containers can run here, and with 1 if they cannot, whatever else is missing.
#[derive(clap::Args)]
pub struct Doctor {
    /// As a JSON object.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let checks = all(&Host::this(), context);
        let works = containers_work(&checks);
        if self.json {
            output::json(&document(works, &checks).to_string())?;
        } else {
            print(works, &checks)?;
        }
        Ok(if works { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn all(host: &Host, context: &Context) -> Vec<Check> {
    let (mut checks, report) = service::checks(context);
    checks.extend(containers::checks(host));
    checks.extend(programs::checks(host, report.as_ref()));
    checks.extend(limits::checks(host, report.as_ref()));
    checks
}

fn containers_work(checks: &[Check]) -> bool {
    !checks.iter().any(|check| check.is_vital && check.state == State::Missing)
}

fn document(works: bool, checks: &[Check]) -> serde_json::Value {
    let checks: Vec<_> = checks
        .iter()
        .map(|check| {
            let Check { name, state, found, advice, is_vital } = check;
            json!({ "Name": name, "State": state.name(), "Found": found, "Advice": advice, "Vital": is_vital })
        })
        .collect();
    json!({ "ContainersWork": works, "Checks": checks })
}

fn print(works: bool, checks: &[Check]) -> Result<(), Failure> {
    let mut table = Table::new(["STATE", "CHECK", "FOUND"]);
    for check in checks {
        table.row([check.state.name().to_lowercase(), check.name.to_owned(), check.found.clone()]);
    }
    table.print()?;
    let to_do: Vec<&Check> = checks.iter().filter(|check| check.state != State::Ok).collect();
    if !to_do.is_empty() {
        output::line("\nWhat to do:")?;
    }
    for check in to_do {
        output::line(&format!("  {}: {}", check.name, check.advice))?;
    }
    let verdict = if works { "Containers can run here." } else { "Containers cannot run here." };
    output::line(&format!("\n{verdict}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_containers_need_decides() {
        let fine = Check::ok("kernel", "6.1").vital();
        let lesser = Check::missing("swtpm", "not installed", "Install swtpm.");
        assert!(containers_work(&[fine.clone(), lesser.clone()]));
        let fatal = Check::missing("cgroups", "none", "Mount them.").vital();
        assert!(!containers_work(&[fine.clone(), fatal]));
        assert!(containers_work(&[Check::warning("cgroups", "few", "Mount more.").vital()]));
        let document = document(true, &[fine, lesser]);
        assert_eq!(document["Checks"][1]["State"], "Missing");
        assert_eq!(document["Checks"][0]["Vital"], true);
    }
}

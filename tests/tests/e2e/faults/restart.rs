//! Faults in the first that a service does: it takes over the systems that an earlier run has left. Whoever lives, lives on, and
//! belongs to it.

use std::{thread, time::Duration};

use hcs::schema::State;
use hcs_tests::{
    faults::{Fault, Made, Step},
    processes,
};

use super::{
    cell::{DROUGHT, Outcome, Place, Victim, Wrong},
    kind::Kind,
    operations::{ID, execute},
};
use crate::{command, run};

/// What it is called.
pub const NAME: &str = "restart";

/// Who takes part.
const ROLES: &[&str] = &["hcsd", "worker", "spare"];

/// How long it may take in which something goes wrong: what is missing is waited for, for each system.
const HANGS: Duration = Duration::from_secs(40);

/// What can go wrong at a step. Only the service is killed at its own steps.
pub fn wrongs(made: &Made) -> Vec<Wrong> {
    let is_of_service = made.step.role == "hcsd";
    let kills = [is_of_service.then_some(Victim::Service), Some(Victim::Worker)];
    let kills = kills.into_iter().flatten().filter(|_| made.has_effect).map(Wrong::Kill);
    let fails = made.errors.iter().flat_map(|error| [Wrong::FailOnce(*error), Wrong::FailForEver(*error)]);
    let messages = [Wrong::Delay, Wrong::Cut].into_iter().filter(|_| made.sends);
    kills.chain(fails).chain(messages).collect()
}

impl Place {
    /// The steps of a restart that nothing disturbs.
    pub fn record_restart(&mut self) -> Vec<Made> {
        let document = Kind::Container.document(&self.service);
        let system = self.service.running_from(ID, &document);
        self.settle();
        self.watch.record();
        self.service.kill();
        self.service.restart();
        self.settle();
        // What the test itself does before the program begins is no step of it.
        let is_of_service = |made: &Made| ROLES.contains(&made.step.role.as_str());
        let steps = self.watch.recorded().into_iter().filter(is_of_service).collect();
        system.terminate().wait().unwrap();
        system.wait_blocking().unwrap();
        steps
    }

    /// Tries one cell.
    pub fn restart_cell(&mut self, step: &Step, wrong: Wrong) -> Outcome {
        let outcome = self.try_restart_cell(step, wrong);
        self.after(outcome)
    }

    fn try_restart_cell(&mut self, step: &Step, wrong: Wrong) -> Result<Outcome, String> {
        let document = Kind::Container.document(&self.service);
        let system = self.service.running_from(ID, &document);
        let process = run(&system, &command(&["sleep", "1000"]));
        let worker = self.service.worker(&system);
        self.settle();
        let fault = match wrong {
            Wrong::Kill(Victim::Worker) => Fault::Do(Box::new(move || processes::kill_if_there(worker))),
            Wrong::Kill(_) => Fault::KillItsMaker,
            Wrong::FailOnce(error) => Fault::Fail { error, for_ever: false },
            Wrong::FailForEver(error) => Fault::Fail { error, for_ever: true },
            Wrong::Delay => Fault::Delay,
            Wrong::Cut => Fault::Cut,
        };
        self.watch.strike_at(step.clone(), fault);
        self.service.kill();
        let watch = self.watch.clone();
        let rain = thread::spawn(move || {
            thread::sleep(DROUGHT);
            watch.end_drought();
        });
        let started = self.service.try_restart(HANGS);
        self.settle();
        let struck = self.watch.has_struck();
        if matches!(wrong, Wrong::FailForEver(_)) {
            rain.join().map_err(|_| "the drought".to_owned())?;
        }
        self.watch.relent();
        let told = match started? {
            // The step may be behind the beginning.
            true if struck && wrong == Wrong::Kill(Victim::Service) => {
                self.service.kill();
                self.service.restart();
                "ready and ended"
            }
            true => "ready",
            false => {
                // It has given up, and its manager starts it again.
                self.service.restart();
                "ended"
            }
        };
        if !struck {
            return Ok(Outcome::NotReached);
        }
        let client = self.service.client();
        if wrong == Wrong::Kill(Victim::Worker) {
            system.wait_blocking().map_err(|error| format!("the end is told as {error}"))?;
            return Ok(Outcome::Held(format!("{told}, ended")));
        }
        if wrong == Wrong::Cut {
            // A worker that has hung up is taken for dead. That nothing is left of it is looked at behind this.
            return Ok(Outcome::Held(told.to_owned()));
        }
        let found = client.open(ID).wait().map_err(|error| format!("{told}, and the system: {error}"))?;
        let state = found.properties(None).wait().map_err(|error| format!("its properties: {error}"))?.state;
        if state != Some(State::Running) {
            return Err(format!("{told}, and then {state:?}"));
        }
        execute(&found).map_err(|error| format!("{told}, and then {error:?}"))?;
        let again = client.open(ID).wait().and_then(|system| system.open_process(process.id()).wait());
        let lives = again.map_err(|error| format!("{told}, and its process: {error}"))?;
        lives.kill().wait().map_err(|error| format!("{told}, and its process: {error}"))?;
        found.terminate().wait().map_err(|error| format!("ending it: {error}"))?;
        Ok(Outcome::Held(format!("{told}, Running")))
    }
}

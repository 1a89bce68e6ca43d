//! 10,000 random call sequences against a small model of a compute system.
//!
//! The model is written differently on purpose: it knows the state only as a set of legal calls by name and
//! never looks at the implementation's tables.

use hcs_core::{Call, Cause, Lifecycle, State};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(Call),
    Finish { succeeded: bool },
    Exit,
}

/// The model: what a careful reader of the reference would write on a napkin.
#[derive(Default)]
struct Model {
    state: &'static str,
    under_way: Vec<Call>,
    shut_down: bool,
}

impl Model {
    fn expect(&self, call: Call) -> Result<(), Cause> {
        use Call::*;
        let always = [Close, SetCallback, WaitForExit];
        if always.contains(&call) {
            return Ok(());
        }
        if self.state == "stopped" {
            return match call {
                Create => Ok(()),
                Open => Err(Cause::SystemNotFound),
                _ => Err(Cause::SystemAlreadyStopped),
            };
        }
        let busy = self.under_way.last().copied();
        match call {
            Create => return Err(Cause::SystemAlreadyExists),
            Terminate => return Ok(()),
            Open if self.state == "creating" => return Err(Cause::SystemNotFound),
            Open => return Ok(()),
            GetProperties if self.state != "creating" => return Ok(()),
            _ => {}
        }
        let legal: &[Call] = match self.state {
            "created" => &[Start, Modify],
            "running" => &[ShutDown, Pause, Crash, Modify, UseProcesses],
            "paused" => &[Resume, SaveToFile, SaveAsTemplate, Modify],
            _ => &[],
        };
        if !legal.contains(&call) {
            return Err(Cause::InvalidState);
        }
        let moves = [Start, ShutDown, Pause, Resume, SaveToFile, SaveAsTemplate].contains(&call);
        if busy.is_some() && (moves || busy == Some(Terminate)) {
            return Err(Cause::InvalidState);
        }
        if call == ShutDown && self.shut_down {
            return Err(Cause::SystemAlreadyStopped);
        }
        Ok(())
    }

    fn begun(&mut self, call: Call) {
        use Call::*;
        if [Start, ShutDown, Terminate, Pause, Resume, SaveToFile, SaveAsTemplate].contains(&call) {
            self.under_way.push(call);
        }
    }

    fn finished(&mut self, succeeded: bool) -> Option<Call> {
        let call = *self.under_way.last()?;
        self.under_way.clear();
        if succeeded {
            match call {
                Call::Create => self.state = "created",
                Call::Start | Call::Resume => self.state = "running",
                Call::Pause => self.state = "paused",
                Call::SaveAsTemplate => self.state = "template",
                Call::Terminate => self.state = "stopped",
                Call::ShutDown => self.shut_down = true,
                _ => {}
            }
        }
        Some(call)
    }
}

fn name(state: State) -> &'static str {
    match state {
        State::Creating => "creating",
        State::Created => "created",
        State::Running => "running",
        State::Paused => "paused",
        State::SavedAsTemplate => "template",
        State::Stopped => "stopped",
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => proptest::sample::select(&Call::ALL[..]).prop_map(Step::Begin),
        4 => prop::bool::weighted(0.8).prop_map(|succeeded| Step::Finish { succeeded }),
        1 => Just(Step::Exit),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_call_sequences_agree_with_the_model(steps in steps()) {
        let mut life = Lifecycle::new();
        let mut model = Model { state: "creating", under_way: vec![Call::Create], ..Default::default() };
        for step in steps {
            match step {
                // A stopped system is gone; a create of its id makes a new one, which is not this one.
                Step::Begin(Call::Create) if model.state == "stopped" => break,
                Step::Begin(call) => {
                    let before = life;
                    let expected = model.expect(call);
                    prop_assert_eq!(life.begin(call), expected, "{:?} in {:?}", call, before);
                    match expected {
                        Ok(()) => model.begun(call),
                        Err(_) => prop_assert_eq!(life, before, "a refusal changed something"),
                    }
                }
                Step::Finish { succeeded } => {
                    if let Some(call) = model.finished(succeeded) {
                        life.finish(call, succeeded);
                    }
                }
                Step::Exit => {
                    life.exited();
                    model.state = "stopped";
                    model.under_way.clear();
                }
            }
            prop_assert_eq!(name(life.state()), model.state);
        }
    }
}

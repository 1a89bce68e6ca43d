//! Who the machine is, told to its agent: a machine that was saved has slept, and a clone is another than its memory knows.

use std::time::SystemTime;

use hcs_core::{Error, random};
use hcs_gcs::{
    Rpc,
    records::{IDENTITY, Identity, Modification, Modify, NULL_ID, TAKES_PLANS},
};
use hcs_machine::Machine;
use serde_json::Value;

use super::{Guest, questions::Question};

/// What does not change.
#[derive(Default)]
pub(super) struct Name {
    host_name: String,
    machine_id: String,
    is_new: bool,
}

impl Name {
    /// That of a machine.
    pub fn of(machine: &Machine) -> Name {
        /// As long as the name of a host may be.
        const LONGEST: usize = 63;
        let (name, runtime_id, is_new) = machine.identity();
        let usable = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
        let host_name: String = name.chars().map(usable).take(LONGEST).collect();
        let host_name = host_name.trim_matches('-').to_owned();
        let machine_id = runtime_id.chars().filter(char::is_ascii_hexdigit).collect();
        Name { host_name, machine_id, is_new }
    }
}

impl Guest {
    /// Whether the agent is one of this house.
    pub(super) fn is_of_this_house(&self) -> bool {
        self.capabilities.as_ref().is_some_and(|capabilities| {
            capabilities.guest_defined_capabilities.get(TAKES_PLANS) == Some(&Value::Bool(true))
        })
    }

    /// Tells the agent all of it, before it has said which version it speaks. Its machine has started when it has answered.
    pub(super) fn introduce_ahead(&mut self) {
        let request = self.introduction();
        let Some(bridge) = &mut self.bridge else { return };
        match bridge.host.ask_ahead(Rpc::ModifySettings, NULL_ID, request) {
            Ok((id, bytes)) => {
                bridge.questions.insert(id, Question::Introduction);
                let stream = bridge.stream;
                self.say(stream, &bytes);
            }
            Err(broken) => self.give_up(&broken.to_string()),
        }
    }

    /// The same, when it has said that.
    pub(super) fn introduce(&mut self) -> Result<(), Error> {
        self.ask(Rpc::ModifySettings, NULL_ID, self.introduction(), Question::Introduction)
    }

    fn introduction(&self) -> Modify {
        let entropy = random::bytes::<32>().ok();
        request(&Identity {
            is_new: self.name.is_new,
            host_name: Some(self.name.host_name.clone()).filter(|name| !name.is_empty()),
            machine_id: Some(self.name.machine_id.clone()),
            entropy: entropy.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            nanoseconds: now(),
        })
    }

    /// Tells the agent what time it is: its machine has stood still.
    pub fn tell_time(&mut self) {
        if self.is_of_this_house() {
            let identity = Identity { nanoseconds: now(), ..Identity::default() };
            // One that cannot be told now is told when it is back.
            let _ = self.ask(Rpc::ModifySettings, NULL_ID, request(&identity), Question::Nobodys);
        }
    }
}

fn request(identity: &Identity) -> Modify {
    let settings = serde_json::to_value(identity).unwrap_or_default();
    let request =
        Modification { resource_type: IDENTITY.to_owned(), request_type: "Update".to_owned(), settings };
    Modify { request }
}

fn now() -> Option<u64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

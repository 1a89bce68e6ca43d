//! Containers in the machine.

use hcs_core::{Error, Exit};
use hcs_gcs::{
    Rpc,
    records::{Create, Modification, Modify, Nested, Nothing, Notification},
};
use hcs_ipc::worker::Request;
use serde_json::{Value, json};

use super::{Guest, What, questions::Question};

/// What an agent of this house is asked of a container for which the bridge has no words.
const REQUEST: &str = "HcsRequest";

impl Guest {
    /// Has the agent make a container of this document.
    pub fn create_container(&mut self, id: &str, number: u64, document: Value) -> Result<(), Error> {
        self.only_of_this_house("makes containers of documents")
            .map_err(|error| error.at("$.HostingSystemId"))?;
        self.act(id, number, Rpc::Create, Create { container_config: Nested(document) })
    }

    /// Starts it.
    pub fn start_container(&mut self, id: &str, number: u64) -> Result<(), Error> {
        self.act(id, number, Rpc::Start, Nothing {})
    }

    /// Asks it to end in this time; its end is told when it has come.
    pub fn shut_container_down(
        &mut self,
        id: &str,
        number: u64,
        grace_milliseconds: u64,
    ) -> Result<(), Error> {
        let grace = json!({"HcsGraceMilliseconds": grace_milliseconds});
        self.act(id, number, Rpc::ShutdownGraceful, grace)
    }

    /// Ends it; its end is told when it has come.
    pub fn kill_container(&mut self, id: &str) -> Result<(), Error> {
        self.ask(Rpc::ShutdownForced, id, Nothing {}, Question::Nobodys)
    }

    /// Asks what only an agent of this house understands.
    pub fn forward(&mut self, id: &str, number: u64, request: &Request) -> Result<(), Error> {
        let request = Modification {
            resource_type: REQUEST.to_owned(),
            request_type: "Update".to_owned(),
            settings: serde_json::to_value(request).unwrap_or_default(),
        };
        self.act(id, number, Rpc::ModifySettings, Modify { request })
    }

    /// Nobody asks for it any more: it ends, if it has not, and nothing of it is left.
    pub fn abandon_container(&mut self, id: &str) {
        let killed = self.kill_container(id);
        if killed
            .and_then(|()| self.ask(Rpc::DeleteContainerState, id, Nothing {}, Question::Nobodys))
            .is_err()
        {
            self.abandoned.push(id.to_owned());
        }
        self.processes.retain(|(of, _), _| of != id);
        self.ended.retain(|(of, _)| of != id);
    }

    /// The agent is back: it is told of those whom nobody asks for any more.
    pub(super) fn forget_abandoned(&mut self) {
        std::mem::take(&mut self.abandoned).iter().for_each(|id| self.abandon_container(id));
    }

    pub(super) fn container_ended(&mut self, notification: &Notification) {
        let told = notification.exit.clone().and_then(|exit| serde_json::from_value(exit).ok());
        let exit = told.unwrap_or(match notification.r#type.as_str() {
            "GracefulExit" => Exit::ShutDownByClient,
            "ForcedExit" => Exit::TerminatedByClient,
            _ => Exit::InitDied { code: 0 },
        });
        self.tell(&notification.base.container_id, What::Ended(exit));
    }
}

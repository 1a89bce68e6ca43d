//! Containers in this machine: each is a place with a worker of its own, which does what it does on a host.
//!
//! A container of this house begins without a process and lasts until it is ended. One that a foreign host makes is for the
//! process of its specification, which is started without being described again, and the container ends with it.

use std::collections::VecDeque;

use hcs_container::network::{Network, namespace::Name};
use hcs_core::{Cause, Error, Exit, SystemId};
use hcs_gcs::{
    Rpc, code,
    guest::{Failure, Question, notify},
    records::{Base, Create, Modify, NULL_ID, Nothing, Notification},
};
use hcs_ipc::worker::Request;
use hcs_schema::{Any, NotificationType};
use hcs_worker::carrier::Cut;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    agent::{Agent, CGROUP_PARENT},
    failure::failure,
    place::{Awaited, Place},
};

/// How long the processes of a container may take to end that are asked to, where the host does not say.
const GRACE: u64 = 10_000;

const SIGTERM: i32 = Signal::TERM.as_raw();
const SIGKILL: i32 = Signal::KILL.as_raw();

/// What is known of a container beside what is known of every place.
pub struct Container {
    /// The number of the Create, under which its end is told.
    activity: String,
    /// The network namespace that it is in, if the host has named one.
    network: Option<Name>,
    /// The process that it is for, when it was started as such.
    pub init: Option<u32>,
    /// The last signal that the host has sent to that, or to all of them.
    pub signal: Option<i32>,
    /// How it has ended, which is not told yet.
    exit: Option<Exit>,
}

/// The network namespace that a container enters, if it is one of those that the agent makes.
fn named_network(network: &Network) -> Option<Name> {
    let Network::Namespace { path, .. } = network else { return None };
    Name::of_path(path)
}

impl Agent {
    /// The host makes a container.
    pub(crate) fn create_container(&mut self, question: &Question) -> Result<(), Failure> {
        let id = question.base.container_id.clone();
        if self.places.contains_key(&id) {
            return Err(Failure::new(code::CONTAINER_EXISTS, format!("there is a container {id:?}")));
        }
        let document: Value = question.read::<Create>()?.container_config.0;
        let system = SystemId::new(&id).map_err(failure)?;
        let text = document.to_string();
        let planned = hcs_container::hosted_system::plan(&text, &id, system.runtime_id(), CGROUP_PARENT);
        let (plan, notices) = planned.map_err(failure)?;
        for notice in notices {
            hcs_core::complain!("hcs-guest: {id}: {}: {}", notice.path, notice.message);
        }
        let network = named_network(&plan.network);
        let plan = Any::from_value(&plan).map_err(|error| Failure::new(code::FAILED, error.to_string()))?;
        if let Some(name) = &network {
            self.resources.network.enter(name).map_err(failure)?;
        }
        let made =
            Place::make(&mut self.mother, Request::Create { plan }, Awaited::Container(question.clone()));
        let mut place = made.map_err(|error| {
            self.leave_network(network.as_ref());
            failure(error)
        })?;
        let activity = question.base.activity_id.clone();
        place.container = Some(Container { activity, network, init: None, signal: None, exit: None });
        self.places.insert(id, place);
        Ok(())
    }

    fn leave_network(&mut self, name: Option<&Name>) {
        if let Some(name) = name {
            self.resources.network.leave(name);
        }
    }

    /// The worker has made it: it begins. Its processes are started when they are asked for.
    pub(crate) fn container_created(&mut self, id: &str, question: Question) -> Result<(), Cut> {
        let Some(place) = self.places.get_mut(id) else { return Ok(()) };
        match place.ask(Request::Start, Awaited::Act(question.clone())) {
            Ok(()) => Ok(()),
            Err(error) => self.container_failed(id, &question, error),
        }
    }

    /// It cannot be made, so there is none.
    pub(crate) fn container_failed(
        &mut self,
        id: &str,
        question: &Question,
        error: Error,
    ) -> Result<(), Cut> {
        self.remove_place(id);
        self.answer::<Nothing>(question, Err(error))
    }

    fn container(&mut self, question: &Question) -> Result<&mut Container, Failure> {
        let id = question.base.container_id.clone();
        let no_container = || Failure::new(code::NO_CONTAINER, format!("there is no container {id:?}"));
        let place = self.places.get_mut(&id).ok_or_else(no_container)?;
        place.container.as_mut().ok_or_else(no_container)
    }

    /// The host ends a container: it asks it to, or does not ask.
    pub(crate) fn end_container(&mut self, question: &Question) -> Result<(), Failure> {
        let container = self.container(question)?;
        if container.exit.is_some() {
            return Err(Failure::new(code::CONTAINER_STOPPED, "the container has stopped"));
        }
        let is_graceful = question.rpc == Rpc::ShutdownGraceful;
        container.signal = Some(if is_graceful { SIGTERM } else { SIGKILL });
        if !is_graceful {
            // Its end is told when it has come, which may be long after this was answered.
            let exit = Exit::TerminatedByClient;
            self.ask(
                question,
                Request::Terminate { exit: exit.clone() },
                Awaited::Ended(question.base.container_id.clone(), exit),
            )?;
            return Ok(());
        }
        let said: Value = question.read()?;
        let grace = said.get("HcsGraceMilliseconds").and_then(Value::as_u64).unwrap_or(GRACE);
        self.ask(question, Request::ShutDown { grace_milliseconds: grace }, Awaited::Nothing)
    }

    /// The host asks for something of a container for which the bridge has no words.
    pub(crate) fn forward(&mut self, question: &Question) -> Result<(), Failure> {
        let request = question.read::<Modify>()?.request;
        let asked: Request = serde_json::from_value(request.settings)
            .map_err(|error| Failure::new(code::INVALID_JSON, error.to_string()))?;
        self.container(question)?;
        match asked {
            Request::Pause | Request::Resume | Request::Change { .. } => {
                self.ask(question, asked, Awaited::Act(question.clone()))
            }
            _ => Err(Failure::new(code::NOT_IMPLEMENTED, "that is not done for a container")),
        }
    }

    /// The host forgets a container. One that lives cannot be forgotten.
    pub(crate) fn forget_container(&mut self, question: &Question) -> Result<(), Failure> {
        let id = question.base.container_id.clone();
        if id == NULL_ID {
            return Err(Failure::new(code::NO_CONTAINER, "the machine itself is no container"));
        }
        if self.container(question)?.exit.is_none() {
            // It is about to end: then nothing of it is kept.
            if self.container(question)?.signal == Some(SIGKILL) {
                self.to_forget.push_back(id);
                return Ok(());
            }
            return Err(failure(Error::new(Cause::InvalidState, "the container has not ended")));
        }
        self.remove_place(&id);
        Ok(())
    }

    fn remove_place(&mut self, id: &str) {
        if let Some(mut place) = self.places.remove(id) {
            // The worker goes when it is told that its end is known, and by the end of the connection if not.
            let _ = place.ask(Request::Release, Awaited::Nothing);
            self.leave_network(place.container.and_then(|container| container.network).as_ref());
        }
    }

    /// A container has ended, and nothing of it is left.
    pub(crate) fn container_ended(&mut self, id: &str, exit: Exit) {
        if let Some(container) = self.places.get_mut(id).and_then(|place| place.container.as_mut()) {
            container.exit.get_or_insert(exit);
        }
    }

    /// The process that a container is for has ended, and the container with it.
    pub(crate) fn init_ended(&mut self, id: &str, process_id: u32, code: u32) -> Result<(), Cut> {
        let Some(place) = self.places.get_mut(id) else { return Ok(()) };
        let Some(container) = place.container.as_ref().filter(|container| container.init == Some(process_id))
        else {
            return Ok(());
        };
        let exit = match container.signal {
            Some(SIGTERM) => Exit::ShutDownByClient,
            Some(SIGKILL) => Exit::TerminatedByClient,
            _ => Exit::InitDied { code },
        };
        let awaited = Awaited::Ended(id.to_owned(), exit.clone());
        let asked = place.ask(Request::Terminate { exit }, awaited);
        if asked.is_err() { self.lose_place(id) } else { Ok(()) }
    }

    /// Tells of containers that have ended, behind the ends of their processes.
    pub(crate) fn tell_of_containers(&mut self) -> Result<(), Cut> {
        if self.stream().is_none() {
            // It is told when the host is back.
            return Ok(());
        }
        let over: Vec<(String, String, Exit)> = self
            .places
            .iter_mut()
            .filter(|(_, place)| place.processes.is_told())
            .filter_map(|(id, place)| {
                let container = place.container.as_mut()?;
                let exit = container
                    .exit
                    .clone()
                    .filter(|_| !std::mem::replace(&mut place.is_told, container.exit.is_some()))?;
                Some((id.clone(), container.activity.clone(), exit))
            })
            .collect();
        for (id, activity_id, exit) in over {
            let kind = match exit.notification_type() {
                NotificationType::GracefulExit => "GracefulExit",
                NotificationType::ForcedExit => "ForcedExit",
                _ => "UnexpectedExit",
            };
            let notification = Notification {
                base: Base { container_id: id, activity_id },
                r#type: kind.to_owned(),
                operation: "None".to_owned(),
                result: code::SUCCESS,
                exit: serde_json::to_value(exit).ok(),
            };
            if let (Some(stream), Ok(bytes)) = (self.stream(), notify(&notification)) {
                self.carrier.say(stream, &bytes)?;
            }
        }
        let to_forget: VecDeque<String> = std::mem::take(&mut self.to_forget);
        for id in to_forget {
            match self.places.get(&id) {
                Some(place) if !place.is_told => self.to_forget.push_back(id),
                _ => self.remove_place(&id),
            }
        }
        Ok(())
    }
}

//! What the host asks, and how it is answered.

use std::os::fd::OwnedFd;

use hcs_container::ProcessPlan;
use hcs_core::Error;
use hcs_gcs::{
    Rpc, code,
    guest::{Failure, Question},
    records::{
        Execute, Executed, IDENTITY, Modify, NULL_ID, Nested, Nothing, ProcessParameters, Properties, Query,
        Resize, Signal, StreamPorts, Wait,
    },
};
use hcs_ipc::worker::{Answer, Request};
use hcs_mux::Stream;
use hcs_schema::Any;
use hcs_worker::carrier::Cut;
use serde_json::{Value, json};

use crate::{
    agent::Agent,
    failure::failure,
    identity,
    place::{Awaited, Place},
    power,
};

const SIGKILL: i32 = rustix::process::Signal::KILL.as_raw();

impl Agent {
    /// The host asks something.
    pub(crate) fn asked(&mut self, question: Question) -> Result<(), Cut> {
        let begun = match question.rpc {
            // It says that somebody is there.
            Rpc::Start => self.place(&question).map(|_| Some(json!({}))),
            Rpc::Create => self.create_container(&question).map(|()| None),
            Rpc::ShutdownGraceful | Rpc::ShutdownForced if question.base.container_id != NULL_ID => {
                self.end_container(&question).map(|()| Some(json!({})))
            }
            Rpc::DeleteContainerState => self.forget_container(&question).map(|()| Some(json!({}))),
            Rpc::ModifySettings => self.modify(&question),
            Rpc::ExecuteProcess => self.execute(&question).map(|()| None),
            Rpc::WaitForProcess => return self.wait_for(question),
            Rpc::SignalProcess => self.signal(&question).map(|()| None),
            Rpc::ResizeConsole => self.resize(&question).map(|()| None),
            Rpc::GetProperties => self.properties(&question).map(|()| None),
            Rpc::DumpStacks => Ok(Some(json!({"GuestStacks": self.stacks()}))),
            Rpc::ShutdownGraceful | Rpc::ShutdownForced => {
                // The connection ends with the machine, and that is the answer.
                power::off();
                return Ok(());
            }
            rpc => Err(Failure::new(code::NOT_IMPLEMENTED, format!("{rpc:?} is not done here"))),
        };
        match begun {
            Ok(None) => Ok(()),
            Ok(Some(answer)) => self.answer(&question, Ok(answer)),
            Err(failure) => self.answer_or_fail::<Nothing>(&question, Err(failure)),
        }
    }

    fn place(&mut self, question: &Question) -> Result<&mut Place, Failure> {
        self.place_of(&question.base.container_id)
    }

    fn place_of(&mut self, id: &str) -> Result<&mut Place, Failure> {
        self.places
            .get_mut(id)
            .ok_or_else(|| Failure::new(code::NO_CONTAINER, format!("there is no container {id:?}")))
    }

    pub(crate) fn ask(
        &mut self,
        question: &Question,
        request: Request,
        awaited: Awaited,
    ) -> Result<(), Failure> {
        self.place(question)?.ask(request, awaited).map_err(failure)
    }

    fn execute(&mut self, question: &Question) -> Result<(), Failure> {
        let settings = question.read::<Execute>()?.settings;
        let parameters = settings.process_parameters.0;
        let is_here = question.base.container_id == NULL_ID || parameters.create_in_utility_vm;
        let plan = plan(&parameters, is_here)?;
        let there = if is_here { NULL_ID } else { question.base.container_id.as_str() };
        self.place(question)?;
        let StreamPorts { stdin, stdout, stderr } = settings.vsock_stdio_relay_settings;
        let mut streams = [None; 3];
        for (stream, port) in streams.iter_mut().zip([stdin, stdout, stderr]) {
            let Some(port) = port else { continue };
            *stream = self.carrier.open(port);
            if stream.is_none() {
                streams.into_iter().flatten().for_each(|stream| self.carrier.reset(stream));
                let text = format!("the host gives no stream at its port {port}, or there are too many");
                return Err(Failure::new(code::FAILED, text));
            }
        }
        let awaited = Awaited::Process(question.clone(), streams);
        self.place_of(there)?.ask(Request::CreateProcess { plan }, awaited).map_err(failure)
    }

    fn wait_for(&mut self, question: Question) -> Result<(), Cut> {
        let wait = match (question.read::<Wait>(), self.place(&question)) {
            (Ok(wait), Ok(_)) => wait,
            (Err(failure), _) | (_, Err(failure)) => {
                return self.answer_or_fail::<Nothing>(&question, Err(failure));
            }
        };
        let Ok(place) = self.place(&question) else { return Ok(()) };
        if let Err(question) = place.processes.wait(wait.process_id, question) {
            let failure = Failure::new(code::NO_PROCESS, format!("there is no process {}", wait.process_id));
            return self.answer_or_fail::<Nothing>(&question, Err(failure));
        }
        Ok(())
    }

    fn signal(&mut self, question: &Question) -> Result<(), Failure> {
        let Signal { process_id, options } = question.read::<Signal>()?;
        let wanted =
            options.and_then(|options| options.get("Signal")?.as_i64()).filter(|signal| *signal != 0);
        let signal = wanted.map_or(Ok(SIGKILL), i32::try_from);
        let signal = signal.map_err(|_| Failure::new(code::INVALID_ARGUMENT, "there is no such signal"))?;
        self.ask(question, Request::Signal { process_id, signal }, Awaited::Act(question.clone()))
    }

    fn resize(&mut self, question: &Question) -> Result<(), Failure> {
        let Resize { process_id, height, width } = question.read::<Resize>()?;
        let request = Request::ResizeConsole { process_id, rows: height, columns: width };
        self.ask(question, request, Awaited::Act(question.clone()))
    }

    fn properties(&mut self, question: &Question) -> Result<(), Failure> {
        let query = question.read::<Query>()?.query.0;
        let kinds = query.get("PropertyTypes").and_then(Value::as_array).cloned().unwrap_or_default();
        let request = match kinds.first().and_then(Value::as_str) {
            Some("Statistics") => Request::Statistics,
            Some("Memory") => Request::Memory,
            _ => Request::ProcessList,
        };
        self.ask(question, request, Awaited::Properties(question.clone()))
    }

    fn modify(&mut self, question: &Question) -> Result<Option<Value>, Failure> {
        let request = question.read::<Modify>()?.request;
        match request.resource_type.as_str() {
            "HcsRequest" => self.forward(question).map(|()| None),
            IDENTITY => {
                let identity = serde_json::from_value(request.settings)
                    .map_err(|error| Failure::new(code::INVALID_JSON, error.to_string()))?;
                identity::become_it(&identity).map(|()| Some(json!({}))).map_err(failure)
            }
            _ if question.base.container_id == NULL_ID => {
                self.resources.modify(request).map(|()| Some(json!({})))
            }
            other => {
                self.place(question)?;
                let text = format!("the resource {other:?} of a container cannot be changed here");
                Err(Failure::new(code::FAILED, text))
            }
        }
    }

    /// What all threads do, as far as the kernel tells.
    fn stacks(&self) -> String {
        let own = std::fs::read_to_string("/proc/self/stack").unwrap_or_default();
        let each =
            self.places.iter().map(|(id, place)| format!("{id}: {} processes\n", place.processes.living()));
        format!("{own}{}", each.collect::<String>())
    }

    /// A worker answers.
    pub(crate) fn answered(
        &mut self,
        id: &str,
        awaited: Awaited,
        answer: Answer,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Cut> {
        if let Answer::Failed(failure) = answer {
            let error = Error::from(failure);
            return match awaited {
                Awaited::Nothing | Awaited::Ended(..) => {
                    hcs_core::complain!("hcs-guest: {id}: {error}");
                    Ok(())
                }
                Awaited::Container(question) => self.container_failed(id, &question, error),
                Awaited::Process(question, streams) => {
                    streams.into_iter().flatten().for_each(|stream| self.carrier.reset(stream));
                    self.answer::<Nothing>(&question, Err(error))
                }
                Awaited::Act(question) | Awaited::Properties(question) => {
                    self.answer::<Nothing>(&question, Err(error))
                }
            };
        }
        match (awaited, answer) {
            (Awaited::Nothing, _) => Ok(()),
            (Awaited::Container(question), _) => self.container_created(id, question),
            // One that never ran has no other notice of its end.
            (Awaited::Ended(of, exit), _) => {
                self.container_ended(&of, exit);
                Ok(())
            }
            (Awaited::Process(question, streams), Answer::Started { process_id, stdin, stdout, stderr }) => {
                let says = self.join(streams, [stdin, stdout, stderr], fds);
                if let Some(place) = self.places.get_mut(id) {
                    place.processes.started(process_id, says);
                    if let Some(container) = place.container.as_mut().filter(|_| is_init(&question)) {
                        container.init = Some(process_id);
                    }
                }
                self.answer(&question, Ok(Executed { process_id }))
            }
            (Awaited::Properties(question), Answer::Document(document)) => {
                let properties = serde_json::from_str::<Value>(document.get()).unwrap_or_default();
                self.answer(&question, Ok(Properties { properties: Nested(properties) }))
            }
            (Awaited::Act(question) | Awaited::Process(question, _) | Awaited::Properties(question), _) => {
                self.answer(&question, Ok(Nothing {}))
            }
        }
    }

    /// Joins the streams of a process with its pipes; those of what it says.
    fn join(&mut self, streams: [Option<Stream>; 3], given: [bool; 3], fds: Vec<OwnedFd>) -> Vec<Stream> {
        let mut fds = fds.into_iter();
        let mut says = Vec::new();
        for (which, (stream, given)) in streams.into_iter().zip(given).enumerate() {
            let pipe = given.then(|| fds.next()).flatten();
            match (stream, pipe) {
                (Some(stream), Some(pipe)) if which == 0 => self.carrier.join_sink(stream, pipe),
                (Some(stream), Some(pipe)) => {
                    self.carrier.join_source(stream, pipe);
                    says.push(stream);
                }
                (Some(stream), None) => self.carrier.reset(stream),
                (None, _) => {}
            }
        }
        says
    }
}

/// Whether the process that a container is for was asked for, by a host that has no other way to begin a container.
fn is_init(question: &Question) -> bool {
    question.read::<Execute>().is_ok_and(|execute| {
        let parameters = execute.settings.process_parameters.0;
        parameters.plan.is_none() && parameters.oci_process.is_none() && !parameters.create_in_utility_vm
    })
}

/// The plan of a process: the host's, unread, or what its parameters say.
fn plan(parameters: &ProcessParameters, is_here: bool) -> Result<Any, Failure> {
    if let Some(plan) = &parameters.plan {
        return Any::from_text(plan.0.get())
            .map_err(|error| Failure::new(code::INVALID_JSON, error.to_string()));
    }
    let text = serde_json::to_string(parameters).unwrap_or_default();
    let reading = hcs_schema::read(&text).map_err(|error| failure(error.into()))?;
    let (mut plan, notices) = ProcessPlan::new(&reading).map_err(failure)?;
    for notice in notices {
        hcs_core::complain!("hcs-guest: {}: {}", notice.path, notice.message);
    }
    if is_here {
        plan.attributes.is_unconfined = true;
        plan.attributes.no_new_privileges = false;
    }
    Any::from_value(&plan).map_err(|error| Failure::new(code::FAILED, error.to_string()))
}

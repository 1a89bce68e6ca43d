//! What was asked of the agent, and what its answers mean.

use std::os::fd::OwnedFd;

use hcs_core::{Cause, Error, Exit, HResult};
use hcs_gcs::{
    Rpc, code,
    host::{self, Heard},
    records::{
        Executed, FOR_EVER, Modification, Modify, NULL_ID, Negotiated, Nothing, Properties, Query, Response,
        Wait, Waited,
    },
};
use hcs_ipc::worker::{Answer, Failure, ProcessExit};
use hcs_mux::Stream;
use hcs_schema::Any;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Guest, Key, What, closed, processes::Starting};

/// What was asked, and for whom.
pub(super) enum Question {
    /// Which version is spoken.
    Version,
    /// A process in this container, under the number of hcsd's request.
    Process(String, u64, Starting),
    /// The end of a process.
    End(Key),
    /// A signal for a process.
    Signal { of: String, number: u64, process_id: u32, signal: i32 },
    /// A program that sends one, for the request of this number.
    Killer(u64),
    /// How that has ended.
    Killed(u64),
    /// Something that is done or not.
    Act(String, u64),
    /// Properties.
    Properties(String, u64),
    /// Whether the agent knows who it is; then the machine has started.
    Introduction,
    /// Whether this container is still there.
    IsThere(String),
    /// Nobody waits for it.
    Nobodys,
}

/// The exit of a process that is gone, and nobody has seen how: it was killed with whoever had it.
const KILLED: ProcessExit = ProcessExit { code: 137, out_of_memory: false };

impl Guest {
    /// Asks something.
    pub(super) fn ask(
        &mut self,
        rpc: Rpc,
        container: &str,
        body: impl Serialize,
        question: Question,
    ) -> Result<(), Error> {
        let bridge = self.bridge.as_mut().filter(|bridge| bridge.host.is_negotiated()).ok_or_else(closed)?;
        let (id, bytes) = bridge
            .host
            .ask(rpc, container, body)
            .map_err(|broken| Error::new(Cause::InvalidData, broken.to_string()))?;
        bridge.questions.insert(id, question);
        let stream = bridge.stream;
        self.say(stream, &bytes);
        Ok(())
    }

    /// The properties of a container, or of the machine, that only the agent knows.
    pub fn properties(&mut self, of: &str, number: u64, kind: &str) -> Result<(), Error> {
        if of == NULL_ID {
            self.only_of_this_house("tells the properties of the machine")?;
        }
        let query = Query { query: hcs_gcs::records::Nested(json!({"PropertyTypes": [kind]})) };
        self.ask(Rpc::GetProperties, of, query, Question::Properties(of.to_owned(), number))
    }

    /// The agent has said something.
    pub(super) fn hear(&mut self, stream: Stream, bytes: &[u8]) {
        let Some(bridge) = self.bridge.as_mut().filter(|bridge| bridge.stream == stream) else { return };
        bridge.host.push(bytes);
        // Each answer may end the conversation.
        while let Some(bridge) = &mut self.bridge {
            match bridge.host.hear() {
                Ok(None) => break,
                Ok(Some(Heard::Answer { id, rpc, body })) => {
                    let question = match rpc {
                        Rpc::NegotiateProtocol => Some(Question::Version),
                        _ => bridge.questions.remove(&id),
                    };
                    if let Some(question) = question
                        && let Err(broken) = self.answered(question, &body)
                    {
                        return self.give_up(&broken.to_string());
                    }
                }
                Ok(Some(Heard::Happened(notification))) => self.container_ended(&notification),
                Err(broken) => return self.give_up(&broken.to_string()),
            }
        }
    }

    fn answered(&mut self, question: Question, body: &[u8]) -> Result<(), host::Broken> {
        let response: Response<Value> = host::read(body)?;
        if let Some(error) = refusal(&response) {
            self.fail(question, &error);
            return Ok(());
        }
        match question {
            Question::Version => {
                let answer: Response<Negotiated> = host::read(body)?;
                self.met(answer.body);
            }
            Question::Process(of, number, starting) => {
                let answer: Response<Executed> = host::read(body)?;
                self.process_started(of, number, starting, answer.body.process_id);
            }
            Question::End(key) => {
                let answer: Response<Waited> = host::read(body)?;
                let Waited { exit_code, out_of_memory } = answer.body;
                let code = self.exit_code(&key, exit_code);
                self.process_ended(&key, ProcessExit { code, out_of_memory });
            }
            Question::Killer(number) => {
                let answer: Response<Executed> = host::read(body)?;
                self.await_killer(number, answer.body.process_id);
            }
            Question::Killed(number) => {
                let answer: Response<Waited> = host::read(body)?;
                self.settle(
                    NULL_ID,
                    number,
                    match answer.body.exit_code {
                        0 => Ok((Answer::Done, Vec::new())),
                        // It has ended before, and that is about to be told.
                        _ => Err(Cause::ProcessAlreadyStopped.into()),
                    },
                );
            }
            Question::Signal { of, number, .. } | Question::Act(of, number) => {
                self.settle(&of, number, Ok((Answer::Done, Vec::new())))
            }
            Question::Properties(of, number) => {
                let answer: Response<Properties> = host::read(body)?;
                let document = Any::from_value(&answer.body.properties.0).unwrap_or_default();
                self.settle(&of, number, Ok((Answer::Document(document), Vec::new())));
            }
            Question::Introduction => self.started(Ok(())),
            Question::IsThere(_) | Question::Nobodys => {}
        }
        Ok(())
    }

    /// What was asked is not done, or never will be answered.
    pub(super) fn fail(&mut self, question: Question, error: &Error) {
        match question {
            Question::Version => self.give_up(&error.to_string()),
            Question::Process(of, number, starting) => {
                self.process_failed(starting);
                self.settle(&of, number, Err(error.clone()));
            }
            Question::End(key) if matches!(error.cause, Cause::NotFound | Cause::SystemNotFound) => {
                self.process_ended(&key, KILLED);
            }
            Question::IsThere(id) if error.cause == Cause::SystemNotFound => {
                self.tell(&id, What::Ended(Exit::WorkerDied { code: None }));
            }
            Question::IsThere(_) => {}
            // It may have gone before it has answered; the start goes on waiting for another.
            Question::Introduction if error.cause == Cause::ConnectionClosed => {}
            Question::Introduction if !self.is_of_this_house() => self.started(Ok(())),
            Question::Introduction => self.started(Err(error.clone())),
            // It is asked for again when the agent is back.
            Question::End(_) => {}
            Question::Signal { of, number, process_id, signal }
                if of == NULL_ID && error.cause == Cause::SystemNotFound =>
            {
                if let Err(error) = self.signal_by_program(number, process_id, signal) {
                    self.settle(&of, number, Err(error));
                }
            }
            Question::Killer(number) | Question::Killed(number) => {
                self.settle(NULL_ID, number, Err(error.clone()));
            }
            Question::Act(of, number) if of == NULL_ID && error.cause == Cause::SystemNotFound => {
                let detail = "the agent in the guest does that for containers only, not for the machine";
                self.settle(&of, number, Err(Error::new(Cause::NotSupported, detail)));
            }
            Question::Signal { of, number, .. }
            | Question::Act(of, number)
            | Question::Properties(of, number) => {
                self.settle(&of, number, Err(error.clone()));
            }
            Question::Nobodys => {}
        }
    }

    pub(super) fn settle(&mut self, of: &str, number: u64, outcome: Result<(Answer, Vec<OwnedFd>), Error>) {
        self.tell(of, What::Settled(number, outcome));
    }

    /// The agent is there.
    fn met(&mut self, negotiated: Negotiated) {
        self.capabilities = Some(negotiated.capabilities);
        // Those that were there when it was lost may have ended meanwhile.
        let living: Vec<Key> = self.living().collect();
        living.into_iter().for_each(|key| self.await_end(key));
        self.forget_abandoned();
        self.tell(NULL_ID, What::Met);
        if !self.is_private {
            self.meet_stranger();
        }
    }

    /// One that may be of another house was not told ahead who it is.
    fn meet_stranger(&mut self) {
        let system = self.capabilities.as_ref().map(|capabilities| capabilities.runtime_os_type.as_str());
        if !system.is_some_and(|system| system.eq_ignore_ascii_case("Linux")) {
            // So says one of Windows, or it says nothing.
            let detail = format!("found an agent of {:?}, expected one of Linux", system.unwrap_or_default());
            return self.started(Err(
                Error::new(Cause::NotSupported, detail).at("$.VirtualMachine.GuestConnection")
            ));
        }
        if self.is_of_this_house() {
            // Without a bridge it is told when it is back.
            let _ = self.introduce();
        } else {
            self.started(Ok(()));
        }
    }

    /// Refuses what only an agent of this house does.
    pub(super) fn only_of_this_house(&self, what: &str) -> Result<(), Error> {
        if self.capabilities.is_none() || self.is_of_this_house() {
            return Ok(());
        }
        Err(Error::new(
            Cause::NotSupported,
            format!("the agent in the guest is not hcs-guest, which alone {what}"),
        )
        .hint("Run hcs-guest in the machine."))
    }

    /// The agent knows who it is, or does not. With the first, the start of the machine has come to its end.
    fn started(&mut self, outcome: Result<(), Error>) {
        if self.is_to_end && outcome.is_ok() {
            // The one before has gone before it has done it. That this one has gone as well is seen elsewhere.
            let _ = self.ask_to_end();
        }
        if let Some((number, _)) = self.start.take() {
            self.tell(
                NULL_ID,
                match outcome {
                    Ok(()) => What::Settled(number, Ok((Answer::Done, Vec::new()))),
                    Err(error) => What::NotStarted(number, error),
                },
            );
        }
    }

    /// Has it told if a container is not there any more: another agent does not have what the one before had.
    pub fn look_for_container(&mut self, id: &str) {
        // Without the agent it is asked when it is back.
        let _ = self.ask(Rpc::Start, id, Nothing {}, Question::IsThere(id.to_owned()));
    }

    pub(super) fn await_end(&mut self, key: Key) {
        let wait = Wait { process_id: key.1, timeout_in_ms: FOR_EVER };
        // Without the agent it is asked when it is back.
        let _ = self.ask(Rpc::WaitForProcess, &key.0.clone(), wait, Question::End(key));
    }

    /// Asks for something that is done or not.
    pub(super) fn act(&mut self, of: &str, number: u64, rpc: Rpc, body: impl Serialize) -> Result<(), Error> {
        self.ask(rpc, of, body, Question::Act(of.to_owned(), number))
    }

    /// Has the agent change something in the machine.
    pub fn change(&mut self, number: u64, request: Modification) -> Result<(), Error> {
        self.act(NULL_ID, number, Rpc::ModifySettings, Modify { request })
    }

    /// Asks whether anybody is there who answers.
    pub fn knock(&mut self, number: u64) -> Result<(), Error> {
        self.act(NULL_ID, number, Rpc::Start, Nothing {})
    }
}

/// Why something was not done.
fn refusal(response: &Response<Value>) -> Option<Error> {
    if response.result == code::SUCCESS {
        return None;
    }
    let whole = response.error_records.iter().find_map(|record| record.failure.clone());
    if let Some(failure) = whole.and_then(|whole| serde_json::from_value::<Failure>(whole).ok()) {
        return Some(failure.into());
    }
    let cause = match response.result {
        code::NO_PROCESS => Cause::NotFound,
        code::NO_CONTAINER => Cause::SystemNotFound,
        code::CONTAINER_EXISTS => Cause::SystemAlreadyExists,
        code::CONTAINER_STOPPED => Cause::SystemAlreadyStopped,
        code::TIMED_OUT => Cause::DeadlineExceeded,
        other => Cause::from_hresult(HResult(other)).unwrap_or(Cause::Unexpected),
    };
    Some(Error::new(cause, format!("the guest says: {}", response.error_message)))
}

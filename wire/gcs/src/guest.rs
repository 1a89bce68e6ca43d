//! The side of the guest: it is asked, and answers in whatever order it can. What it may be asked when is decided here.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    VERSION,
    code::{self, Code},
    frame::{Decoder, FrameError, MOST_OF_GUEST, MOST_OF_HOST, encode},
    records::{Base, Capabilities, ErrorRecord, Negotiate, Negotiated, Nothing, Notification, Response},
    rpc::{Kind, MessageType, NOTIFICATION, Rpc},
};

/// The longest that is said of a failure: with everything around it, it must have its place in a message.
const LONGEST: usize = 8 << 10;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What for programs.
    pub code: Code,
    /// What for people.
    pub message: String,
    /// All of it, for a host of this house.
    pub whole: Option<serde_json::Value>,
}

impl Failure {
    /// One.
    pub fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), whole: None }
    }
}

/// A question that is to be answered by [`Guest::answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its number.
    pub id: u64,
    /// What is wanted.
    pub rpc: Rpc,
    /// Of whom.
    pub base: Base,
    message: MessageType,
    body: Vec<u8>,
}

impl Question {
    /// What is in it.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        // What is in every request is passed by here.
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::new(code::INVALID_JSON, format!("the request cannot be read: {error}")))
    }
}

/// What is to be done about what has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Somebody wants something.
    Question(Question),
    /// It was answered already: this is to be sent.
    Answered(Vec<u8>),
}

/// A conversation with a host.
#[derive(Debug)]
pub struct Guest {
    decoder: Decoder,
    capabilities: Capabilities,
    negotiated: bool,
}

impl Guest {
    /// A new one, in which the guest can do this.
    pub fn new(capabilities: Capabilities) -> Guest {
        Guest { decoder: Decoder::new(MOST_OF_HOST), capabilities, negotiated: false }
    }

    /// Something has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
    }

    /// The next that the host has said. What is no request is passed by: a host that says such things is heard further.
    pub fn hear(&mut self) -> Result<Option<Heard>, FrameError> {
        loop {
            let Some(frame) = self.decoder.next_frame()? else { return Ok(None) };
            if frame.message.kind() != Some(Kind::Request) {
                continue;
            }
            let base = serde_json::from_slice::<Base>(&frame.body);
            let activity = base.as_ref().map(|base| base.activity_id.clone()).unwrap_or_default();
            let refuse = |code: Code, message: String| {
                let failure = Failure::new(code, message);
                refused(frame.message, frame.id, &activity, failure).map(|bytes| Some(Heard::Answered(bytes)))
            };
            let rpc = frame.message.rpc().filter(|rpc| is_of_linux(*rpc));
            return match (rpc, base) {
                (None, _) => {
                    refuse(code::NOT_IMPLEMENTED, format!("{:#010x} is not known here", frame.message.0))
                }
                (Some(Rpc::NegotiateProtocol), _) if self.negotiated => {
                    refuse(code::NOT_IMPLEMENTED, "there is a version already".to_owned())
                }
                (Some(rpc), _) if rpc != Rpc::NegotiateProtocol && !self.negotiated => {
                    refuse(code::NOT_IMPLEMENTED, "there is no version yet".to_owned())
                }
                (Some(_), Err(error)) => {
                    refuse(code::INVALID_JSON, format!("the request cannot be read: {error}"))
                }
                (Some(rpc), Ok(base)) => {
                    let question =
                        Question { id: frame.id, rpc, base, message: frame.message, body: frame.body };
                    match rpc {
                        Rpc::NegotiateProtocol => {
                            self.negotiate(&question).map(|bytes| Some(Heard::Answered(bytes)))
                        }
                        _ => Ok(Some(Heard::Question(question))),
                    }
                }
            };
        }
    }

    fn negotiate(&mut self, question: &Question) -> Result<Vec<u8>, FrameError> {
        let versions = match question.read::<Negotiate>() {
            Ok(versions) => versions,
            Err(failure) => return answer::<Nothing>(question, Err(failure)),
        };
        if !(versions.minimum_version..=versions.maximum_version).contains(&VERSION) {
            let text = format!(
                "found the versions {} to {}, and {VERSION} is spoken here",
                versions.minimum_version, versions.maximum_version
            );
            return answer::<Nothing>(question, Err(Failure::new(code::NO_COMMON_VERSION, text)));
        }
        self.negotiated = true;
        answer(question, Ok(Negotiated { version: VERSION, capabilities: self.capabilities.clone() }))
    }
}

/// Those of Windows are not known here.
fn is_of_linux(rpc: Rpc) -> bool {
    !matches!(rpc, Rpc::UpdateContainer | Rpc::LifecycleNotification | Rpc::ModifyServiceSettings)
}

/// What is to be sent as the answer. One that has no place in a message becomes a failure that says so.
pub fn answer<T: Serialize>(question: &Question, outcome: Result<T, Failure>) -> Result<Vec<u8>, FrameError> {
    let activity = &question.base.activity_id;
    let failure = match outcome {
        Ok(body) => {
            let response = Response {
                result: code::SUCCESS,
                error_message: String::new(),
                activity_id: activity.clone(),
                error_records: Vec::new(),
                body,
            };
            match encode(question.message.response(), question.id, &response, MOST_OF_GUEST) {
                Err(FrameError::TooLong(size, most)) => {
                    Failure::new(code::FAILED, format!("the answer has {size} bytes, and it may have {most}"))
                }
                written => return written,
            }
        }
        Err(failure) => failure,
    };
    refused(question.message, question.id, activity, failure)
}

fn refused(message: MessageType, id: u64, activity: &str, failure: Failure) -> Result<Vec<u8>, FrameError> {
    let text: String = failure.message.chars().take(LONGEST / 4).collect();
    let record = ErrorRecord {
        result: failure.code,
        message: text.clone(),
        module_name: "gcs".to_owned(),
        file_name: String::new(),
        line: u32::MAX,
        // It is short, or it is left out.
        failure: failure.whole.filter(|whole| whole.to_string().len() < LONGEST),
    };
    let response = Response {
        result: failure.code,
        error_message: text,
        activity_id: activity.chars().take(64).collect(),
        error_records: vec![record],
        body: Nothing {},
    };
    encode(message.response(), id, &response, MOST_OF_GUEST)
}

/// What is to be sent when a container has ended.
pub fn notify(notification: &Notification) -> Result<Vec<u8>, FrameError> {
    encode(NOTIFICATION, 0, notification, MOST_OF_GUEST)
}

#[cfg(test)]
#[path = "transcript_tests.rs"]
mod tests;

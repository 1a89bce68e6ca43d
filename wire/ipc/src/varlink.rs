//! Varlink's envelopes, and how our errors travel in them.

use std::os::fd::OwnedFd;

use hcs_core::{Cause, Error, HResult};
use hcs_schema::{Any, DocumentError, ResultError};
use serde::{Deserialize, Serialize};

use crate::interface::{NAME, SERVICE};

/// A call.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// `interface.Method`.
    pub method: String,
    /// Its parameters, an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Any>,
    /// No reply is wanted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub oneway: bool,
    /// Many replies are wanted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// The connection is to be handed over; never granted here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub upgrade: bool,
}

/// A reply: parameters, or an error with its parameters.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The result, or the particulars of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Any>,
    /// More replies follow.
    #[serde(default, skip_serializing_if = "is_false")]
    pub continues: bool,
    /// `interface.Error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the particulars of each of our errors are.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorParameters {
    /// The HRESULT, signed.
    pub hresult: i32,
    /// The whole story in one line.
    pub message: String,
    /// The ResultError document.
    pub document: ResultError,
}

/// A failure as a client received it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The line of the table.
    pub cause: Cause,
    /// The whole story in one line.
    pub message: String,
    /// The ResultError document.
    pub document: ResultError,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { cause: error.cause, message: error.to_string(), document: error.document() }
    }
}

impl From<DocumentError> for Failure {
    fn from(error: DocumentError) -> Failure {
        Error::from(error).into()
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Failure {
        Error::from(cause).into()
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The text of a call.
pub fn encode_call(method: &str, parameters: &impl Serialize, more: bool) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Outgoing<'a, P> {
        method: &'a str,
        parameters: &'a P,
        #[serde(skip_serializing_if = "is_false")]
        more: bool,
    }
    serde_json::to_vec(&Outgoing { method, parameters, more })
}

/// The text of a call that is not answered.
pub fn encode_oneway(method: &str, parameters: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Outgoing<'a, P> {
        method: &'a str,
        parameters: &'a P,
        oneway: bool,
    }
    serde_json::to_vec(&Outgoing { method, parameters, oneway: true })
}

/// The text of a successful reply.
pub fn encode_reply(parameters: &impl Serialize, continues: bool) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Outgoing<'a, P> {
        parameters: &'a P,
        #[serde(skip_serializing_if = "is_false")]
        continues: bool,
    }
    serde_json::to_vec(&Outgoing { parameters, continues })
}

/// The text of an error reply.
pub fn encode_error(error: &Error) -> serde_json::Result<Vec<u8>> {
    encode_named_error(
        &format!("{NAME}.{}", error.cause.name()),
        &ErrorParameters {
            hresult: error.hresult().0,
            message: error.to_string(),
            document: error.document(),
        },
    )
}

/// The text of an error reply of any interface.
pub fn encode_named_error(name: &str, parameters: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Outgoing<'a, P> {
        error: &'a str,
        parameters: &'a P,
    }
    serde_json::to_vec(&Outgoing { error: name, parameters })
}

/// A reply as the client takes it in.
#[derive(Debug)]
pub struct Received {
    /// The result.
    pub parameters: Any,
    /// The descriptors beside it.
    pub fds: Vec<OwnedFd>,
    /// More replies follow.
    pub continues: bool,
}

/// Understands a reply. What cannot be understood counts as a lost service: the two sides do not fit.
pub fn decode_reply(text: &[u8], fds: Vec<OwnedFd>) -> Result<Received, Failure> {
    let unusable = |what: String| Failure::from(Error::new(Cause::ServiceDisconnect, what));
    let reply: Reply =
        serde_json::from_slice(text).map_err(|error| unusable(format!("the service's reply: {error}")))?;
    let parameters = reply.parameters.unwrap_or_default();
    let Some(name) = reply.error else {
        return Ok(Received { parameters, fds, continues: reply.continues });
    };
    if let Some(of_varlink) = name.strip_prefix(SERVICE).and_then(|rest| rest.strip_prefix('.')) {
        return Err(
            Error::new(cause_of_varlink(of_varlink), format!("{of_varlink} {}", parameters.get())).into()
        );
    }
    let ours = name.strip_prefix(NAME).and_then(|rest| rest.strip_prefix('.'));
    match (ours, serde_json::from_str::<ErrorParameters>(parameters.get())) {
        (Some(name), Ok(ErrorParameters { hresult, message, document })) => {
            // A newer service may have causes that we do not know.
            let cause = Cause::from_name(name).or_else(|| Cause::from_hresult(HResult(hresult)));
            Err(Failure { cause: cause.unwrap_or(Cause::Unexpected), message, document })
        }
        _ => Err(unusable(format!("the service answered {name} {}", parameters.get()))),
    }
}

/// What an error of `org.varlink.service` stands for: a method of another release, or a call made by hand.
fn cause_of_varlink(name: &str) -> Cause {
    match name {
        "InvalidParameter" | "ExpectedMore" => Cause::InvalidArgument,
        "PermissionDenied" => Cause::NotPrivileged,
        _ => Cause::NotImplemented,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cause_of_a_newer_service_is_told_with_what_came_with_it() {
        let told = |name: &str, hresult: i32| {
            let error = Error::new(Cause::DiskFull, "no room").hint("Make some.");
            let particulars =
                ErrorParameters { hresult, message: error.to_string(), document: error.document() };
            let text = encode_named_error(&format!("{NAME}.{name}"), &particulars).unwrap();
            decode_reply(&text, Vec::new()).unwrap_err()
        };
        assert_eq!(told("DiskFull", 0).cause, Cause::DiskFull);
        assert_eq!(told("DiskIsFullToday", Cause::DiskFull.hresult().0).cause, Cause::DiskFull);
        let unknown = told("Newer", 0x8037_7777_u32 as i32);
        assert_eq!(unknown.cause, Cause::Unexpected);
        assert!(unknown.message.contains("no room"), "{}", unknown.message);
    }

    fn failure(text: &[u8]) -> Failure {
        decode_reply(text, Vec::new()).unwrap_err()
    }

    #[test]
    fn a_call_says_only_what_is_asked() {
        let text = |more| {
            String::from_utf8(encode_call("io.hcs.Compute.Attach", &json!({"a": 1}), more).unwrap()).unwrap()
        };
        assert_eq!(text(false), r#"{"method":"io.hcs.Compute.Attach","parameters":{"a":1}}"#);
        assert_eq!(text(true), r#"{"method":"io.hcs.Compute.Attach","parameters":{"a":1},"more":true}"#);
        let call: Call = serde_json::from_str(r#"{"method":"m"}"#).unwrap();
        assert!(call.parameters.is_none() && !call.more && !call.oneway && !call.upgrade);
    }

    #[test]
    fn a_reply_comes_with_its_descriptors_and_says_whether_more_follow() {
        for continues in [false, true] {
            let text = encode_reply(&json!({"handle": 7}), continues).unwrap();
            let fd = std::fs::File::open("/dev/null").unwrap().into();
            let received = decode_reply(&text, vec![fd]).unwrap();
            assert_eq!((received.parameters.get(), received.continues), (r#"{"handle":7}"#, continues));
            assert_eq!(received.fds.len(), 1);
        }
    }

    #[test]
    fn an_error_arrives_as_what_it_was() {
        let error = Error::new(Cause::InvalidData, "found a, expected b").at("$.Container").hint("Write b.");
        let arrived = failure(&encode_error(&error).unwrap());
        assert_eq!((arrived.cause, arrived.message), (error.cause, error.to_string()));
        assert_eq!(arrived.document, error.document());
    }

    #[test]
    fn errors_of_varlink_have_causes() {
        let cause = |name: &str| {
            let text = encode_named_error(&format!("org.varlink.service.{name}"), &json!({})).unwrap();
            failure(&text).cause
        };
        assert_eq!(cause("InvalidParameter"), Cause::InvalidArgument);
        assert_eq!(cause("ExpectedMore"), Cause::InvalidArgument);
        assert_eq!(cause("PermissionDenied"), Cause::NotPrivileged);
        assert_eq!(cause("MethodNotFound"), Cause::NotImplemented);
    }

    #[test]
    fn what_is_no_reply_of_ours_is_a_lost_service() {
        let strange = encode_named_error("io.hcs.Compute.NoSuchCause", &json!({})).unwrap();
        let without_particulars = encode_named_error("io.hcs.Compute.InvalidState", &json!({})).unwrap();
        for text in [&b"no JSON"[..], b"7", &strange, &without_particulars] {
            assert_eq!(failure(text).cause, Cause::ServiceDisconnect);
        }
    }
}

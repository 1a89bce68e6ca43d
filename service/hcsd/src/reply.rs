//! Replies, and how they become text.

use std::os::fd::OwnedFd;

use hcs_core::Error;
use hcs_ipc::varlink;

/// A reply and its descriptors.
pub struct Outcome<T> {
    /// The reply.
    pub reply: T,
    /// What goes beside it.
    pub fds: Vec<OwnedFd>,
}

impl<T> From<T> for Outcome<T> {
    fn from(reply: T) -> Outcome<T> {
        Outcome { reply, fds: Vec::new() }
    }
}

/// What is sent back: text and descriptors.
pub type Encoded = (Vec<u8>, Vec<OwnedFd>);

/// An answer, by whether the call was done.
pub type Answered = Result<Encoded, Encoded>;

/// The text of an outcome.
pub fn encode<T: serde::Serialize>(outcome: Result<Outcome<T>, Error>) -> Answered {
    match outcome {
        Ok(Outcome { reply, fds }) => Ok((encoded(varlink::encode_reply(&reply, false)), fds)),
        Err(error) => Err((encoded(varlink::encode_error(&error)), Vec::new())),
    }
}

/// Our own types always have a text; if not, an empty object is still a reply.
pub fn encoded(text: serde_json::Result<Vec<u8>>) -> Vec<u8> {
    text.unwrap_or_else(|error| {
        tracing::error!(%error, "a reply could not be written");
        b"{}".to_vec()
    })
}

//! A call with an operation: what all functions of that kind do.

use std::sync::Arc;

use hcs::{Error, Link, link::Replied};
use hcs_ipc::compute::{Done, Method};

use crate::{
    abi::{Code, code},
    operation::{Operation, Outcome, Started},
};

/// What a successful call tells.
#[derive(Default)]
pub struct Told {
    /// Its result document.
    pub document: Option<String>,
    /// The process that it started or asked about.
    pub process: Option<Started>,
}

impl From<Done> for Told {
    fn from(_: Done) -> Told {
        Told::default()
    }
}

impl Told {
    /// Of a call with a result document.
    pub fn document(document: impl Into<String>) -> Told {
        Told { document: Some(document.into()), process: None }
    }
}

/// Makes a call that the operation has begun to track. `number` is what the call's parameter `operation` says.
pub fn make<M: Method>(
    operation: &Arc<Operation>,
    link: &Link,
    number: Option<u64>,
    call: &M,
    understand: impl FnOnce(Replied<M::Reply>) -> Result<Told, Error> + Send + 'static,
) -> Code {
    follow(operation, link, number, call, |replied| replied.and_then(understand))
}

/// The same for a call that has something to do also when it failed.
pub fn follow<M: Method>(
    operation: &Arc<Operation>,
    link: &Link,
    number: Option<u64>,
    call: &M,
    finish: impl FnOnce(Result<Replied<M::Reply>, Error>) -> Result<Told, Error> + Send + 'static,
) -> Code {
    let tracking = operation.clone();
    let ticket = link.call(call, move |replied| tracking.complete(outcome(finish(replied))));
    operation.under_way(ticket, number);
    0
}

/// How a call ended.
pub fn outcome(result: Result<Told, Error>) -> Outcome {
    match result {
        Ok(told) => Outcome::success(told.document.as_deref(), told.process),
        Err(error) => Outcome::failure(error),
    }
}

/// Does something in the caller's process, of which a code is told and nothing more.
pub fn tell(act: impl FnOnce() -> Result<(), hcs::Error>) -> Code {
    act().map_or_else(|error| code(error.cause), |()| 0)
}

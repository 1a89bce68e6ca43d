//! Errors in the words of the bridge.

use hcs_core::{Cause, Error};
use hcs_gcs::{code, guest::Failure};
use hcs_ipc::worker;

/// A failure in the words of the bridge; a host of this house reads all of it.
pub(crate) fn failure(error: Error) -> Failure {
    let code = match error.cause {
        Cause::ProcessAlreadyStopped => code::NO_PROCESS,
        Cause::SystemNotFound => code::NO_CONTAINER,
        _ => error.hresult().0,
    };
    Failure {
        code,
        message: error.to_string(),
        whole: serde_json::to_value(worker::Failure::from(error)).ok(),
    }
}

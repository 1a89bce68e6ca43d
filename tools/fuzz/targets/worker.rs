//! What a worker and an application that hosts devices say: the first byte says which.
#![no_main]

use hcs_core::{Cause, Error};
use hcs_ipc::{
    device_host::{FromHost, ToHost},
    worker::{Answer, Failure, FromWorker, Hello, Numbered, Request, Welcome},
};

/// What can be read can be written, and says the same when it is read again.
fn lasts<T: serde::Serialize + serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    let read = serde_json::from_str::<T>(text).ok()?;
    let written = serde_json::to_string(&read).expect("a document");
    let again: T = serde_json::from_str(&written).expect("what we wrote");
    assert_eq!(serde_json::to_string(&again).expect("a document"), written);
    Some(read)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match which % 6 {
        0 => drop(lasts::<Hello>(text)),
        1 => drop(lasts::<Welcome>(text)),
        2 => drop(lasts::<Numbered<Request>>(text)),
        3 => {
            let Some(FromWorker::Reply(Numbered { body: Answer::Failed(failure), .. })) = lasts(text) else {
                return;
            };
            // A cause of another release becomes one of ours, and then it stays that.
            let error = Error::from(failure);
            let cause = error.cause;
            assert!(Cause::ALL.contains(&cause));
            assert_eq!(Error::from(Failure::from(error)).cause, cause);
        }
        4 => drop(lasts::<ToHost>(text)),
        _ => drop(lasts::<FromHost>(text)),
    }
});

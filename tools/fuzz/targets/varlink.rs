//! What a client says to the service, and the service to a client. The input is a series of reads: one byte says how many
//! descriptors come with a read, two say how long it is.
#![no_main]

use std::{fs::File, os::fd::OwnedFd, sync::LazyLock};

use hcs_core::{Cause, HResult};
use hcs_ipc::{
    Decoder, Message,
    compute::*,
    limits::{MAX_FDS_PER_MESSAGE, MAX_MESSAGE},
    varlink::{Call, decode_reply, encode_error},
};
use hcs_schema::Any;

static NULL: LazyLock<File> = LazyLock::new(|| File::open("/dev/null").expect("a descriptor"));

fn descriptors(count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| NULL.try_clone().expect("a descriptor").into()).collect()
}

/// What can be read can be written, and says the same when it is read again.
fn lasts<T: serde::Serialize + serde::de::DeserializeOwned>(text: &str) {
    if let Ok(read) = serde_json::from_str::<T>(text) {
        let written = serde_json::to_string(&read).expect("a document");
        let again: T = serde_json::from_str(&written).expect("what we wrote");
        assert_eq!(serde_json::to_string(&again).expect("a document"), written);
    }
}

macro_rules! both_ways {
    ($text:expr; $( $method:ty ),+ $(,)?) => {
        $( lasts::<$method>($text); lasts::<<$method as Method>::Reply>($text); )+
    };
}

fn parameters(text: &Any) {
    both_ways! {
        text.get();
        Attach, Join, WatchEvents, CreateComputeSystem, OpenComputeSystem, StartComputeSystem,
        GetComputeSystemProperties, ModifyComputeSystem, EnumerateComputeSystems, GetOutput, OpenSerialPort,
        HostDevices, CreateProcess, OpenProcess, SignalProcess, GetProcessInfo, GetServiceProperties,
        ListCrashReports, GetMachineUser, GetHostReport, ListOperations, CancelOperation,
    }
}

fn look_at(message: Message) {
    assert!(message.text.len() <= MAX_MESSAGE && message.fds.len() <= MAX_FDS_PER_MESSAGE);
    assert!(!message.text.is_empty() && !message.text.contains(&0));
    if let Ok(call) = serde_json::from_slice::<Call>(&message.text) {
        parameters(&call.parameters.unwrap_or_default());
    }
    let count = message.fds.len();
    match decode_reply(&message.text, message.fds) {
        Ok(reply) => {
            assert_eq!(reply.fds.len(), count);
            parameters(&reply.parameters);
        }
        // A failure that came over the wire goes on over the next one, and stays what it is.
        Err(failure) => {
            assert!(Cause::from_hresult(HResult(failure.cause.hresult().0)).is_some());
            let error = hcs_core::Error::new(failure.cause, failure.message);
            let again = decode_reply(&encode_error(&error).expect("a reply"), Vec::new());
            assert_eq!(again.expect_err("an error").cause, failure.cause);
        }
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (mut decoder, mut rest) = (Decoder::default(), bytes);
    let (mut read, mut given, mut taken) = (Vec::new(), 0, 0);
    while let [count, low, high, tail @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (piece, tail) = tail.split_at(length);
        rest = tail;
        let count = usize::from(count % 24);
        if decoder.feed(piece, descriptors(count)).is_err() {
            return;
        }
        given += count;
        read.extend_from_slice(piece);
        while let Some(message) = decoder.next_message() {
            // Messages are what is between the zeros, in order.
            let end = read.iter().position(|byte| *byte == 0).expect("the end of the message");
            assert_eq!(message.text, read[..end]);
            read.drain(..=end);
            taken += message.fds.len();
            look_at(message);
        }
        assert!(taken <= given && given - taken <= MAX_FDS_PER_MESSAGE);
        assert_eq!((decoder.partial_length(), decoder.waiting()), (read.len(), 0));
    }
});

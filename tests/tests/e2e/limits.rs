//! What a client may ask for at most, and that asking for more harms nobody else.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use hcs::{Cause, schema::Any};
use hcs_tests::{
    Service, processes,
    raw::{Raw, call_text},
    until,
};
use serde_json::json;

use crate::refused;

const FOUR_MIB: usize = 4 << 20;
/// Calls that may wait on one connection.
const PIPELINED: usize = 64;

fn answers(service: &Service) {
    let mut connection = Raw::connect(&service.socket());
    assert!(connection.call("org.varlink.service.GetInfo", &json!({})).is_ok());
}

#[test]
fn a_document_beyond_four_mib_is_refused_on_both_sides() {
    let service = Service::start();
    let client = service.client();
    let document = format!(r#"{{"Owner":"{}"}}"#, "x".repeat(FOUR_MIB + (1 << 20)));
    let error = refused(
        client.create_from("web", Any::from_text(document.clone()).unwrap(), false).wait(),
        Cause::InvalidData,
    );
    assert!(error.message.contains(&FOUR_MIB.to_string()), "{error}");
    // Who does not use our client is disconnected as soon as it is too much.
    let mut connection = Raw::connect(&service.socket());
    let text = call_text("CreateComputeSystem", &format!(r#"{{"id":"web","document":{document}}}"#));
    let sent = connection.send(&text);
    assert!(sent.is_err() || connection.is_closed());
    answers(&service);
    assert!(client.list(None).wait().unwrap().is_empty());
}

#[test]
fn a_document_of_nearly_four_mib_is_read() {
    let service = Service::start();
    let client = service.client();
    let owner = "x".repeat(FOUR_MIB - 4096);
    let system = client.create("web", &service.document().owner(owner.clone())).wait().unwrap();
    assert!(system.properties(None).wait().unwrap().owner.unwrap() == owner);
}

#[test]
fn calls_sent_ahead_are_answered_in_order_up_to_a_limit() {
    let service = Service::start();
    let mut connection = Raw::connect(&service.socket());
    let calls: Vec<String> = (0..PIPELINED)
        .map(|number| call_text("OpenComputeSystem", &json!({"id": format!("id-{number}")}).to_string()))
        .collect();
    connection.send(&calls.join("\0")).unwrap();
    for number in 0..PIPELINED {
        let (error, parameters) = connection.receive().unwrap().unwrap_err();
        assert_eq!(error, "io.hcs.Compute.SystemNotFound");
        assert!(parameters["message"].as_str().unwrap().contains(&format!("id-{number}\"")), "{parameters}");
    }
    // Far too many: the connection ends, and nothing else.
    let flood = vec![call_text("ListOperations", "{}"); 100 * PIPELINED].join("\0");
    let ended = connection.send(&flood).is_err() || {
        let replies = std::iter::from_fn(|| connection.receive().ok()).count();
        replies < 100 * PIPELINED
    };
    assert!(ended, "a client that never reads was served without a limit");
    answers(&service);
}

#[test]
fn descriptors_that_nobody_asked_for_are_closed_and_too_many_end_the_connection() {
    let service = Service::start();
    answers(&service);
    service.await_no_clients();
    let before = service.settled_files();
    let null = File::open("/dev/null").unwrap();
    let fds = |count: usize| -> Vec<BorrowedFd<'_>> { (0..count).map(|_| null.as_fd()).collect() };
    let call = call_text("org.varlink.service.GetInfo", "{}");
    {
        let mut connection = Raw::connect(&service.socket());
        for _ in 0..20 {
            connection.send_with(&call, &fds(16)).unwrap();
            assert!(connection.receive().unwrap().is_ok());
        }
        assert_eq!(processes::open_files(service.pid()), before + 1, "unwanted descriptors were kept");
        connection.send_with(&call, &fds(17)).unwrap();
        assert!(connection.is_closed(), "seventeen descriptors were taken");
        let mut connection = Raw::connect(&service.socket());
        connection.send_with(&call, &fds(253)).unwrap();
        assert!(connection.is_closed(), "253 descriptors were taken");
    }
    until("all descriptors are closed", Duration::from_secs(5), || {
        processes::open_files(service.pid()) == before
    });
    answers(&service);
}

#[test]
fn what_is_no_call_ends_the_connection_and_what_is_no_method_is_told() {
    let service = Service::start();
    for garbage in ["", "x", "[]", "{}", "null", r#"{"method":1}"#, "{\"method\":\"a\"", "\u{feff}{}"] {
        let mut connection = Raw::connect(&service.socket());
        connection.send(garbage).unwrap();
        assert!(connection.is_closed(), "{garbage:?} was answered");
    }
    let mut connection = Raw::connect(&service.socket());
    for (method, error) in [
        ("io.hcs.Compute.Nonsense", "MethodNotFound"),
        ("io.hcs.Nonsense.List", "InterfaceNotFound"),
        ("Nonsense.", "InterfaceNotFound"),
        ("io.hcs.Compute.WatchEvents", "ExpectedMore"),
    ] {
        let (name, _) = connection.call(method, &json!({})).unwrap_err();
        assert_eq!(name, format!("org.varlink.service.{error}"), "{method}");
    }
    answers(&service);
}

#[test]
fn a_client_that_never_reads_its_replies_holds_up_nobody() {
    let service = Service::start();
    let client = service.client();
    let system = service.running(&client, "web");
    let mut lazy = Raw::connect(&service.socket());
    lazy.socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let call = call_text("org.varlink.service.GetInterfaceDescription", r#"{"interface":"io.hcs.Compute"}"#);
    // Each reply is some ten kilobytes; no socket holds them all.
    while lazy.send(&call).is_ok() && processes::is_alive(service.pid()) {}
    assert_eq!(crate::output(&system, "echo swift"), "swift\n");
}

/// Events that certainly do not fit into the service's queue and the socket together.
const TOO_MANY_EVENTS: usize = 12_000;

#[test]
fn a_listener_that_does_not_keep_up_is_disconnected_and_comes_back_to_its_handles() {
    let service = Service::start();
    let mut listener = Raw::connect(&service.socket());
    listener.send(r#"{"method":"io.hcs.Compute.Attach","parameters":{},"more":true}"#).unwrap();
    let token = listener.receive().unwrap().unwrap()["attached"]["token"].take();
    let mut caller = Raw::connect(&service.socket());
    caller.call("Join", &json!({"token": token})).unwrap();
    let document = json!(service.document().should_terminate_on_last_handle_closed(true));
    let created = caller.call("CreateComputeSystem", &json!({"id": "web", "document": document})).unwrap();
    let handle = created["handle"].as_u64().unwrap();
    caller.call("StartComputeSystem", &json!({"handle": handle})).unwrap();
    let parameters = json!({"CommandLine": "true"});
    let process = caller.call("CreateProcess", &json!({"handle": handle, "parameters": parameters})).unwrap();
    caller.call("WaitForProcessExit", &json!({"process": process["process"]})).unwrap();
    // Every handle to a process that has ended brings an event, and nobody reads.
    for _ in 0..TOO_MANY_EVENTS {
        let open = json!({"handle": handle, "processId": process["processId"]});
        caller.call("OpenProcess", &open).unwrap();
    }
    // What was sent comes without a gap, and then the end.
    let mut next = 1;
    while let Ok(reply) = listener.receive() {
        assert_eq!(reply.unwrap()["event"]["sequence"], next);
        next += 1;
    }
    assert!(next <= TOO_MANY_EVENTS as u64, "all of {next} events were kept");

    let mut again = Raw::connect(&service.socket());
    let claim = json!({"handle": handle, "id": "web", "instance": created["instance"], "processes": []});
    let attach = json!({
        "method": "io.hcs.Compute.Attach", "parameters": {"token": token, "claims": [claim]}, "more": true
    });
    again.send(&attach.to_string()).unwrap();
    assert_eq!(again.receive().unwrap().unwrap()["attached"]["handles"], json!([handle]));
    let mut caller = Raw::connect(&service.socket());
    caller.call("Join", &json!({"token": token})).unwrap();
    let properties = caller.call("GetComputeSystemProperties", &json!({"handle": handle})).unwrap();
    assert_eq!(properties["properties"]["State"], "Running");
    caller.call("TerminateComputeSystem", &json!({"handle": handle})).unwrap();
}

//! Conversations as the specification has them, and what becomes of those that go wrong.

use serde_json::{Value, json};

use super::*;
use crate::{
    host::{self, Host},
    records::{Execute, Executed, FOR_EVER, NULL_ID, SchemaVersion, Wait, Waited},
};

fn capabilities() -> Capabilities {
    let own = json!({"SignalProcessSupported": true, "DeleteContainerStateSupported": true});
    Capabilities {
        supported_schema_versions: vec![SchemaVersion { major: 2, minor: 1 }],
        runtime_os_type: "Linux".into(),
        guest_defined_capabilities: own.as_object().unwrap().clone(),
        ..Capabilities::default()
    }
}

/// A message as somebody else would write it.
fn message(kind: u32, id: u64, text: &str) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend((text.len() as u32 + 16).to_le_bytes());
    bytes.extend(id.to_le_bytes());
    bytes.extend(text.bytes());
    bytes
}

/// The parts of a message.
fn parts(bytes: &[u8]) -> (u32, u64, Value) {
    let kind = u32::from_le_bytes(bytes[..4].try_into().unwrap());
    assert_eq!(u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize, bytes.len());
    let id = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
    (kind, id, serde_json::from_slice(&bytes[16..]).unwrap())
}

/// What a guest answers at once.
fn at_once(guest: &mut Guest, bytes: &[u8]) -> (u32, u64, Value) {
    guest.push(bytes);
    match guest.hear().unwrap() {
        Some(Heard::Answered(bytes)) => parts(&bytes),
        other => panic!("{other:?}"),
    }
}

const NEGOTIATE: &str = r#"{"ContainerId":"","ActivityId":"00000000-0000-0000-0000-000000000000","MinimumVersion":4,"MaximumVersion":4}"#;

#[test]
fn a_host_and_a_guest_find_a_version_and_run_a_process() {
    let (mut host, first) = Host::begin().unwrap();
    assert_eq!(parts(&first), (0x1010_0b01, 0, serde_json::from_str(NEGOTIATE).unwrap()));
    assert_eq!(host.ask(Rpc::Start, "c", Nothing {}), Err(host::Broken::NotNegotiated));
    let mut guest = Guest::new(capabilities());
    guest.push(&first);
    let Some(Heard::Answered(answer_bytes)) = guest.hear().unwrap() else { panic!("no answer") };
    assert_eq!(
        parts(&answer_bytes),
        (
            0x2010_0b01,
            0,
            json!({"Result": 0, "ActivityId": NULL_ID, "Version": 4, "Capabilities": {
                "SupportedSchemaVersions": [{"Major": 2, "Minor": 1}], "RuntimeOsType": "Linux",
                "GuestDefinedCapabilities": {"SignalProcessSupported": true, "DeleteContainerStateSupported": true},
            }})
        )
    );
    host.push(&answer_bytes);
    assert!(matches!(
        host.hear().unwrap(),
        Some(host::Heard::Answer { id: 0, rpc: Rpc::NegotiateProtocol, .. })
    ));
    assert!(host.is_negotiated());

    // The process of the specification's example, as our host asks for it.
    let mut wanted = Execute::default();
    let parameters = &mut wanted.settings.process_parameters.0;
    parameters.command_args = ["/bin/sh", "-c", "uname -a"].map(str::to_owned).to_vec();
    parameters.working_directory = "/".into();
    parameters.environment.insert("PATH".into(), "/usr/bin:/bin".into());
    parameters.create_std_out_pipe = true;
    parameters.create_std_err_pipe = true;
    wanted.settings.vsock_stdio_relay_settings.stdout = Some(1_073_741_825);
    wanted.settings.vsock_stdio_relay_settings.stderr = Some(1_073_741_826);
    let (id, bytes) = host.ask(Rpc::ExecuteProcess, NULL_ID, &wanted).unwrap();
    let (kind, _, body) = parts(&bytes);
    assert_eq!((kind, id), (0x1010_0501, 1));
    let nested: Value =
        serde_json::from_str(body["Settings"]["ProcessParameters"].as_str().unwrap()).unwrap();
    assert_eq!(
        nested,
        json!({"CommandArgs": ["/bin/sh", "-c", "uname -a"], "WorkingDirectory": "/",
            "Environment": {"PATH": "/usr/bin:/bin"}, "CreateStdOutPipe": true, "CreateStdErrPipe": true})
    );
    assert_eq!(
        body["Settings"]["VsockStdioRelaySettings"],
        json!({"StdOut": 1_073_741_825, "StdErr": 1_073_741_826})
    );
    guest.push(&bytes);
    let Some(Heard::Question(question)) = guest.hear().unwrap() else { panic!("no question") };
    assert_eq!((question.rpc, question.base.container_id.as_str()), (Rpc::ExecuteProcess, NULL_ID));
    assert_eq!(question.read::<Execute>().unwrap(), wanted);

    // Two waits are open; the younger one is answered first, and something happens between.
    let wait = Wait { process_id: 412, timeout_in_ms: FOR_EVER };
    let (older, bytes) = host.ask(Rpc::WaitForProcess, NULL_ID, wait).unwrap();
    guest.push(&bytes);
    let Some(Heard::Question(waiting)) = guest.hear().unwrap() else { panic!("no question") };
    assert_eq!(waiting.read::<Wait>().unwrap(), wait);
    host.push(&answer(&question, Ok(Executed { process_id: 412 })).unwrap());
    let ended = Notification {
        base: Base::about("c1"),
        r#type: "UnexpectedExit".into(),
        operation: "None".into(),
        ..Notification::default()
    };
    host.push(&notify(&ended).unwrap());
    host.push(&answer(&waiting, Ok(Waited { exit_code: 3, out_of_memory: false })).unwrap());
    let Some(host::Heard::Answer { id, body, .. }) = host.hear().unwrap() else { panic!("no answer") };
    assert_eq!((id, host::read::<Response<Executed>>(&body).unwrap().body.process_id), (1, 412));
    assert_eq!(host.hear().unwrap(), Some(host::Heard::Happened(ended)));
    let Some(host::Heard::Answer { id, body, .. }) = host.hear().unwrap() else { panic!("no answer") };
    assert_eq!((id, host::read::<Response<Waited>>(&body).unwrap().body.exit_code), (older, 3));
    assert_eq!((host.hear().unwrap(), host.open().count()), (None, 0));
}

#[test]
fn before_there_is_a_version_and_of_what_is_not_known_nothing_is_done() {
    let mut guest = Guest::new(capabilities());
    let body = r#"{"ContainerId":"c","ActivityId":"a"}"#;
    let (kind, id, answer) = at_once(&mut guest, &message(0x1010_0201, 5, body));
    assert_eq!(
        (kind, id, &answer["Result"], &answer["ActivityId"]),
        (0x2010_0201, 5, &json!(code::NOT_IMPLEMENTED), &json!("a"))
    );
    assert_eq!(answer["ErrorRecords"][0]["Line"], json!(u32::MAX));
    let none = r#"{"ContainerId":"","MinimumVersion":5,"MaximumVersion":9}"#;
    assert_eq!(
        at_once(&mut guest, &message(0x1010_0b01, 0, none)).2["Result"],
        json!(code::NO_COMMON_VERSION)
    );
    // Blanks around JSON, and members that nobody knows, are no matter.
    let padded = format!(" {}\n", NEGOTIATE.replace("}", ",\"otsc\":{\"traceparent\":\"x\"}}"));
    assert_eq!(at_once(&mut guest, &message(0x1010_0b01, 0, &padded)).2["Result"], json!(0));
    assert_eq!(
        at_once(&mut guest, &message(0x1010_0b01, 1, NEGOTIATE)).2["Result"],
        json!(code::NOT_IMPLEMENTED)
    );
    for unknown in [0x1010_6301, 0x1020_0101, 0x1010_0e01, 0x1010_0102] {
        let (kind, id, answer) = at_once(&mut guest, &message(unknown, 9, body));
        assert_eq!((kind, id, &answer["Result"]), (unknown + 0x1000_0000, 9, &json!(code::NOT_IMPLEMENTED)));
    }
    assert_eq!(at_once(&mut guest, &message(0x1010_0201, 2, "{")).2["Result"], json!(code::INVALID_JSON));
    // What is no request is passed by.
    guest.push(&message(0x2010_0201, 2, body));
    guest.push(&message(0x3010_0101, 0, body));
    assert_eq!(guest.hear(), Ok(None));
    // JSON within JSON that is none.
    guest.push(&message(0x1010_0501, 3, r#"{"ContainerId":"c","Settings":{"ProcessParameters":"{"}}"#));
    let Some(Heard::Question(question)) = guest.hear().unwrap() else { panic!("no question") };
    assert_eq!(question.read::<Execute>().unwrap_err().code, code::INVALID_JSON);
}

#[test]
fn a_guest_never_says_more_than_other_hosts_take() {
    let mut guest = Guest::new(capabilities());
    at_once(&mut guest, &message(0x1010_0b01, 0, NEGOTIATE));
    guest.push(&message(0x1010_0901, 1, r#"{"ContainerId":"c","Query":""}"#));
    let Some(Heard::Question(question)) = guest.hear().unwrap() else { panic!("no question") };
    for outcome in [Ok("x".repeat(100_000)), Err(Failure::new(code::FAILED, "\u{1}".repeat(100_000)))] {
        let bytes = answer(&question, outcome.map(|text| json!({"Properties": text}))).unwrap();
        assert!(bytes.len() <= MOST_OF_GUEST);
        assert_eq!(parts(&bytes).2["Result"], json!(code::FAILED));
    }
}

#[test]
fn what_no_guest_says_ends_the_conversation_of_a_host() {
    let answered = |bytes: &[u8]| {
        let (mut host, _) = Host::begin().unwrap();
        host.push(bytes);
        host.hear()
    };
    assert_eq!(answered(&message(0x2010_0b01, 7, "{}")), Err(host::Broken::NotAsked(7)));
    assert_eq!(answered(&message(0x1010_0b01, 0, "{}")), Err(host::Broken::Unknown(0x1010_0b01)));
    assert_eq!(answered(&message(0x5010_0b01, 0, "{}")), Err(host::Broken::Unknown(0x5010_0b01)));
    assert!(matches!(answered(&message(0x3010_0101, 0, "[]")), Err(host::Broken::Unreadable(_))));
    assert!(matches!(answered(&message(0x2010_0b01, 0, "{")), Err(host::Broken::Unreadable(_))));
    // A guest that cannot speak it leaves nothing to ask.
    let (mut host, _) = Host::begin().unwrap();
    host.push(&message(0x2010_0b01, 0, &format!("{{\"Result\":{}}}", code::NO_COMMON_VERSION)));
    assert!(host.hear().unwrap().is_some() && !host.is_negotiated());
}

//! A host asks for changes, and reads the answers as they come over the bridge.

use hcs_gcs::{
    Rpc,
    guest::{self, Guest, Heard},
    host::{self, Host},
    records::{Capabilities, Modify, NULL_ID, Nothing, Response},
};

use super::*;

/// What a host hears that asks for this.
fn answer(resource: &str, how: &str, settings: Value) -> Response<Nothing> {
    let (mut host, hello) = Host::begin().unwrap();
    let mut guest = Guest::new(Capabilities::default());
    guest.push(&hello);
    let Some(Heard::Answered(welcome)) = guest.hear().unwrap() else { panic!("no version") };
    host.push(&welcome);
    host.hear().unwrap();
    let request = json!({"Request": {"ResourceType": resource, "RequestType": how, "Settings": settings}});
    let (_, asked) = host.ask(Rpc::ModifySettings, NULL_ID, request).unwrap();
    guest.push(&asked);
    let Some(Heard::Question(question)) = guest.hear().unwrap() else { panic!("no question") };
    let request = question.read::<Modify>().unwrap().request;
    let done = Resources::default().modify(request).map(|()| Nothing {});
    host.push(&guest::answer(&question, done).unwrap());
    let Some(host::Heard::Answer { body, .. }) = host.hear().unwrap() else { panic!("no answer") };
    host::read(&body).unwrap()
}

#[test]
fn what_is_not_known_has_failed_and_is_named() {
    for (resource, how) in [
        ("Keyboard", "Add"),
        ("", ""),
        ("mappedvirtualdisk", "Add"),
        ("MappedVirtualDisk", "Update"),
        ("MappedVirtualDisk", "PreAdd"),
        // Without a word it would be an Add, and a device is only dropped.
        ("SCSIDevice", ""),
        ("PodCgroupMemoryLimit", "Add"),
        ("VPCIDevice", "Remove"),
    ] {
        let answer = answer(resource, how, json!({}));
        assert_eq!(answer.result, code::FAILED, "{resource} {how}");
        assert!(answer.error_message.contains(&format!("{resource:?}")), "{}", answer.error_message);
    }
}

#[test]
fn a_request_that_says_nothing_adds() {
    assert_eq!(answer("MappedVirtualDisk", "", Value::Null).result, code::SUCCESS);
    assert_eq!(answer("MappedVirtualDisk", "Remove", json!({"Lun": 3})).result, code::SUCCESS);
    assert_eq!(answer("SecurityPolicy", "", json!({"EnforcerType": "standard"})).result, code::SUCCESS);
    assert_eq!(answer("PodCgroupMemoryLimit", "Update", Value::Null).result, code::SUCCESS);
}

#[test]
fn what_is_refused_is_named_and_where_it_stands() {
    let not_supported = Cause::NotSupported.hresult().0;
    for (resource, settings, named) in [
        ("VPCIDevice", json!({"VMBusGUID": NULL_ID}), "VPCIDevice"),
        ("SecurityPolicyFragment", json!({"Fragment": ""}), "SecurityPolicyFragment"),
        ("MappedVirtualDisk", json!({"MountPath": "/m", "Encrypted": true}), "$.Request.Settings.Encrypted"),
    ] {
        let answer = answer(resource, "Add", settings);
        assert_eq!(answer.result, not_supported);
        assert!(answer.error_message.contains(named), "{}", answer.error_message);
    }
}

#[test]
fn settings_that_cannot_be_read_are_told_so() {
    for settings in [json!([]), json!({"Lun": 256}), json!({"MountPath": 1})] {
        assert_eq!(answer("MappedVirtualDisk", "Add", settings).result, code::INVALID_JSON);
    }
    assert_eq!(answer("SecurityPolicy", "Add", json!([])).result, code::INVALID_JSON);
}

//! Many systems: ids, handles, queries, events, warnings.

use hcs::{
    Cause,
    compute::SystemEventKind,
    schema::{Any, SystemQuery, SystemType},
};
use hcs_tests::Service;

use crate::{exit_code, refused, run, script};

#[test]
fn ids_compare_without_case_and_are_free_again_after_the_end() {
    let service = Service::start();
    let client = service.client();
    let system = client.create("Web-Straße", &service.document()).wait().unwrap();
    refused(client.create("WEB-straße", &service.document()).wait(), Cause::SystemAlreadyExists);
    let opened = client.open("web-STRASSE").wait();
    // Upper case of ß is SS, as in the derivation of runtime ids.
    assert_eq!(opened.is_ok(), "ß".to_uppercase() == "SS");
    let opened = client.open("wEB-STRAßE").wait().unwrap();
    assert_eq!(opened.id(), "Web-Straße");
    assert_eq!(opened.runtime_id(), system.runtime_id());
    system.terminate().wait().unwrap();
    refused(client.open("Web-Straße").wait(), Cause::SystemNotFound);
    let again = client.create("web-straße", &service.document()).wait().unwrap();
    assert_eq!(again.runtime_id(), system.runtime_id());
    assert_eq!(again.id(), "web-straße");
}

#[test]
fn a_runtime_id_is_derived_from_the_id_as_on_windows() {
    let service = Service::start();
    let client = service.client();
    for (id, runtime_id) in [
        ("vmlord-b961b64484554b6289e8e70d6e38f181", "a811a3d9-78e5-5a7d-ba56-4b799c99f150"),
        ("cowork-vm-45f50555", "ed4d837e-aa16-57c4-9c8a-d1027b76533a"),
        ("8636363D-0001-0002-0003-AAAABBBBCCCC", "8636363d-0001-0002-0003-aaaabbbbcccc"),
    ] {
        assert_eq!(client.create(id, &service.document()).wait().unwrap().runtime_id(), runtime_id);
    }
}

#[test]
fn a_second_handle_keeps_a_system_that_ends_with_its_last() {
    let service = Service::start();
    let (one, other) = (service.client(), service.client());
    let system = service.running(&one, "web");
    let second = other.open("WEB").wait().unwrap();
    drop((system, one));
    let mut process = run(&second, &script("echo alive"));
    assert_eq!(crate::read_all(process.pipes.stdout.take()), "alive\n");
    assert_eq!(exit_code(&process), 0);
    drop(second);
    service.await_nothing_left();
    refused(other.open("web").wait(), Cause::SystemNotFound);
}

#[test]
fn a_system_stays_without_handles_unless_its_document_says_otherwise() {
    let service = Service::start();
    let client = service.client();
    drop(client.create("stays", &service.lasting_document()).wait().unwrap());
    drop(client.create("goes", &service.document()).wait().unwrap());
    hcs_tests::until("the other has gone", std::time::Duration::from_secs(5), || {
        client.list(None).wait().unwrap().len() == 1
    });
    let stays = client.open("stays").wait().unwrap();
    stays.start().wait().unwrap();
    stays.terminate().wait().unwrap();
}

#[test]
fn a_query_selects_by_id_owner_and_type() {
    let service = Service::start();
    let client = service.client();
    let make = |id: &str, owner: &str| client.create(id, &service.document().owner(owner)).wait().unwrap();
    let _systems = [make("a", "one"), make("b", "one"), make("c", "two")];
    let select = |query: SystemQuery| -> Vec<String> {
        let systems = client.list(Some(&query)).wait().unwrap();
        systems.into_iter().map(|system| system.id.unwrap()).collect()
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(select(SystemQuery::default()), ["a", "b", "c"]);
    assert_eq!(select(SystemQuery::default().ids(texts(&["A", "c", "x"]))), ["a", "c"]);
    assert_eq!(select(SystemQuery::default().owners(texts(&["one"]))), ["a", "b"]);
    assert_eq!(select(SystemQuery::default().owners(texts(&["One"]))), [""; 0]);
    assert_eq!(select(SystemQuery::default().owners(texts(&["one"])).ids(texts(&["b", "c"]))), ["b"]);
    assert_eq!(select(SystemQuery::default().types(vec![SystemType::VirtualMachine])), [""; 0]);
    assert_eq!(select(SystemQuery::default().types(vec![SystemType::Container])).len(), 3);
}

#[test]
fn members_without_effect_are_warned_of_and_typos_are_refused_strictly() {
    let service = Service::start();
    let client = service.client();
    let text = format!(
        r#"{{"SchemaVersion":{{"Major":2,"Minor":7}},"ShouldTerminateOnLastHandleClosed":true,"Ownr":"me",
            "Container":{{"Storage":{{"Path":"{}"}},"RegistryChanges":{{"DeleteKeys":[{{"Name":"x"}}]}}}}}}"#,
        service.rootfs().display()
    );
    let document = Any::from_text(text).unwrap();
    let error = refused(client.create_from("web", document.clone(), true).wait(), Cause::InvalidData);
    assert!(error.message.contains("$.Ownr") && error.message.contains("'Owner'"), "{error}");
    let system = client.create_from("web", document, false).wait().unwrap();
    let paths: Vec<&str> = system.warnings().iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(paths, ["$.Ownr", "$.Container.RegistryChanges"]);
    assert!(system.warnings()[0].message.contains("'Owner'"), "{:?}", system.warnings());
}

#[test]
fn the_stream_of_events_begins_with_the_present_and_misses_nothing() {
    let service = Service::start();
    let client = service.client();
    let _present = service.running(&client, "present");
    let mut events = client.events(None).unwrap();
    let mut next = || events.next_blocking().unwrap().unwrap();
    let first = next();
    assert_eq!(
        (first.r#type, first.id.as_str(), first.state.as_str()),
        (SystemEventKind::Present, "present", "Running")
    );
    let system = service.running(&client, "web");
    assert_eq!(exit_code(&run(&system, &script("exit 5"))), 5);
    system.pause(None).wait().unwrap();
    system.resume().wait().unwrap();
    system.terminate().wait().unwrap();
    let told: Vec<_> = (0..7).map(|_| next()).collect();
    let kinds: Vec<SystemEventKind> = told.iter().map(|event| event.r#type).collect();
    use SystemEventKind::*;
    assert_eq!(kinds, [Created, Started, ProcessCreated, ProcessExited, Paused, Resumed, Exited]);
    assert!(told.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
    assert!(told[3].data.as_ref().unwrap().get().contains("\"ExitCode\":5"));
    // Who comes back gets what was missed.
    let mut again = client.events(Some(told[3].sequence)).unwrap();
    assert_eq!(again.next_blocking().unwrap().unwrap().r#type, Paused);
}

#[test]
fn a_creation_that_fails_leaves_the_id_free() {
    let service = Service::start();
    let client = service.client();
    let mut document = service.document();
    document.container.as_mut().unwrap().storage.as_mut().unwrap().path = Some("/nowhere/at/all".to_owned());
    let error = refused(client.create("web", &document).wait(), Cause::FileNotFound);
    assert!(error.message.contains("/nowhere/at/all"), "{error}");
    assert!(service.leftovers().is_empty(), "left: {}", service.leftovers());
    service.running(&client, "web").terminate().wait().unwrap();
}

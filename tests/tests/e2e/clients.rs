//! Clients that go: in peace, killed, or while the service is down.

use std::{
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use hcs_tests::{Service, until};

/// How long a system may outlive its last client.
const PROMPT: Duration = Duration::from_secs(3);

/// Another program that holds a handle to a system, by running a process in it.
fn holder(service: &Service, id: &str) -> Child {
    let mut command = service.hcs();
    command.args(["exec", id, "--", "sh", "-c", "echo ready; sleep 1000"]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("starting hcs");
    let stdout = child.stdout.take().expect("a pipe");
    crate::process::await_line(&stdout.into(), "ready\n");
    child
}

fn kill(mut client: Child) {
    client.kill().expect("killing a client");
    client.wait().expect("waiting for a client");
}

#[test]
fn the_systems_of_a_client_that_goes_end_with_it() {
    let service = Service::start();
    let client = service.client();
    let _system = service.running(&client, "web");
    let other = service.client();
    assert_eq!(other.list(None).wait().unwrap().len(), 1);
    drop((_system, client));
    until("the system has ended", PROMPT, || other.list(None).wait().unwrap().is_empty());
    service.await_nothing_left();
}

#[test]
fn the_systems_of_a_client_that_is_killed_end_with_it() {
    let service = Service::start();
    let client = service.client();
    let system = service.running(&client, "web");
    let holder = holder(&service, "web");
    drop(system);
    // It has a handle elsewhere.
    assert!(client.open("web").wait().is_ok());
    let began = Instant::now();
    kill(holder);
    until("the system has ended", PROMPT, || client.list(None).wait().unwrap().is_empty());
    println!("ended {:?} after the death of its client", began.elapsed());
    service.await_nothing_left();
}

#[test]
fn the_systems_of_a_client_that_died_while_the_service_was_down_end_after_ten_seconds() {
    let mut service = Service::start();
    let client = service.client();
    let system = service.running(&client, "web");
    let stays = client.create("stays", &service.lasting_document()).wait().unwrap();
    let holder = holder(&service, "web");
    drop((system, stays, client));
    service.kill();
    kill(holder);
    service.restart();
    let restarted = Instant::now();
    let client = service.client();
    let ids = || -> Vec<String> {
        client.list(None).wait().unwrap().into_iter().filter_map(|one| one.id).collect()
    };
    assert_eq!(ids(), ["stays", "web"], "the client has ten seconds to come back");
    until("the system has ended", Duration::from_secs(13), || ids() == ["stays"]);
    let took = restarted.elapsed();
    println!("ended {took:?} after the restart");
    assert!(took > Duration::from_secs(8), "the client had only {took:?} to come back");
    client.open("stays").wait().unwrap().terminate().wait().unwrap();
}

//! Clients that go: in peace, killed, or while the service is down.

use std::{
    future::Future,
    pin::pin,
    process::{Child, Stdio},
    task::{Context, Waker},
    time::{Duration, Instant},
};

use hcs::{
    Cause, Client,
    link::Options,
    schema::{NotificationType, State},
};
use hcs_tests::{Service, processes, until};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::Signal,
};

/// How long a system may outlive its last client, on a host that has much to do.
const PROMPT: Duration = Duration::from_secs(20);

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
fn a_client_without_a_thread_is_looked_after_by_who_waits() {
    let mut service = Service::start();
    let client = Client::connect_unattended(Options { socket: service.socket() }).unwrap();
    let system = service.running(&client, "web");
    let script = |script: &str| crate::run(&system, &crate::script(script));
    let waiter = script("read line");
    let mut context = Context::from_waker(Waker::noop());
    // What is waited for by nobody comes with a look.
    let mut listed = pin!(client.list(None));
    let mut ended = pin!(waiter.wait());
    until("the list has come", PROMPT, || {
        let events = PollFlags::IN;
        poll(&mut [PollFd::new(client.link(), events)], Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).unwrap();
        client.link().look();
        listed.as_mut().poll(&mut context).map(|listed| assert_eq!(listed.unwrap().len(), 1)).is_ready()
    });
    until("the process has ended", PROMPT, || {
        client.link().look();
        ended.as_mut().poll(&mut context).map(|status| assert!(status.is_ok())).is_ready()
    });
    // And a wait has no need of one, also when the service was away meanwhile.
    service.kill();
    let properties = system.properties(None);
    service.restart();
    assert_eq!(properties.wait().unwrap().state, Some(State::Running));
    assert_eq!(crate::exit_code(&script("exit 4")), 4);
    client.open("web").wait().unwrap().terminate().wait().unwrap();
    assert_eq!(system.wait_blocking().unwrap().exit_type, Some(NotificationType::ForcedExit));
}

#[test]
fn a_client_without_a_thread_does_not_wait_for_a_service_that_hangs() {
    let service = Service::start();
    // Before it has anything to answer: what has been answered once is not given up.
    processes::signal(service.pid(), Signal::STOP);
    until("it stands still", PROMPT, || processes::status(service.pid(), "State").starts_with('T'));
    let client = Client::connect_unattended(Options { socket: service.socket() }).unwrap();
    let began = Instant::now();
    let error = crate::refused(client.list(None).wait(), Cause::ServiceDisconnect);
    let took = began.elapsed();
    processes::signal(service.pid(), Signal::CONT);
    assert!(error.message.contains("timed out"), "{error}");
    assert!((9..13).contains(&took.as_secs()), "the client waited for {took:?}");
    // It was the first that was waited for; the session is as good as any.
    assert_eq!(client.list(None).wait().unwrap().len(), 0);
}

/// Its first connection is made with its session, and is of the old service.
#[test]
fn a_client_without_a_thread_whose_service_was_restarted_before_its_first_call_gets_its_answer() {
    let mut service = Service::start();
    let connect = || Client::connect_unattended(Options { socket: service.socket() }).unwrap();
    let (first, second) = (connect(), connect());
    service.kill();
    let called_meanwhile = second.list(None);
    service.restart();
    assert_eq!(first.list(None).wait().unwrap().len(), 0);
    assert_eq!(called_meanwhile.wait().unwrap().len(), 0);
    let system = service.running(&first, "web");
    system.terminate().wait().unwrap();
}

#[test]
fn an_event_that_comes_before_a_client_without_a_thread_looks_is_not_lost() {
    let service = Service::start();
    let client = Client::connect_unattended(Options { socket: service.socket() }).unwrap();
    let system = service.running(&client, "web");
    system.terminate().wait().unwrap();
    // Begins to listen only now.
    assert_eq!(system.wait_blocking().unwrap().exit_type, Some(NotificationType::ForcedExit));
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

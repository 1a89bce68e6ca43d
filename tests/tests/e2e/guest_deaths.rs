//! Agents, machines and services that die or hang, with processes and containers inside: everybody is told what is true.

use std::time::{Duration, Instant};

use hcs::{
    Cause, Event, System,
    schema::{
        GuestConnection, IntegrationComponentOperationalState, IntegrationComponentStatus, NotificationType,
        SaveOptions, SaveType, SystemPropertyQuery, SystemPropertyType,
    },
};
use hcs_tests::{
    Service,
    machine::{Console, Guest},
    processes,
};
use rustix::process::Signal;

use crate::{
    command, exit_code, output,
    place::{Place, Site},
    process::await_line,
    refused, run, script,
};

/// A minute, for what takes seconds.
const SOON: Duration = Duration::from_secs(60);

/// What the heartbeat of a machine says.
fn heartbeat(system: &System) -> Option<IntegrationComponentOperationalState> {
    let query = SystemPropertyQuery::default().property_types(vec![SystemPropertyType::ICHeartbeatStatus]);
    let status = system.properties(Some(&query)).wait().unwrap().ic_heartbeat_status.unwrap();
    serde_json::from_str::<IntegrationComponentStatus>(status.get()).unwrap().state
}

/// Whether the agent answers.
pub fn is_there(system: &System) -> bool {
    heartbeat(system) == Some(IntegrationComponentOperationalState::Ok)
}

/// Waits for the agent to be there. One of a busy host may be slow to say so.
pub fn await_agent(system: &System) {
    hcs_tests::until("the agent is there", SOON, || is_there(system));
}

#[test]
fn an_agent_that_is_killed_is_replaced_and_what_it_had_is_told_to_have_ended() {
    let site = Site::hosted();
    let host = site.host.as_ref().unwrap();
    let mut events = host.events();
    let container = site.running("web");
    let (outside, inside) =
        (run(host, &command(&["sleep", "1000"])), run(&container, &command(&["sleep", "1000"])));
    // The process that does it dies of it, maybe before anybody has heard that it runs.
    let _dying = host.run(&script("kill -9 $(ps | awk '/hcs-guest agent/ { print $1; exit }')"));
    assert!(matches!(events.blocking_recv(), Some(Event::GuestConnectionClosed)));
    assert_eq!((exit_code(&outside), exit_code(&inside)), (137, 137));
    assert_eq!(container.wait_blocking().unwrap().exit_type, Some(NotificationType::UnexpectedExit));
    await_agent(host);
    assert_eq!(output(host, "echo again"), "again\n");
    assert_eq!(output(&site.running("web"), "echo anew"), "anew\n");
    // Nothing of those before is left in the machine.
    assert_eq!(output(host, "ps | grep -c '[s]leep 1000' || true").trim(), "0");
    site.end();
}

#[test]
fn a_machine_that_is_to_end_ends_also_when_its_agent_has_not_heard_of_it() {
    let place = Place::machine();
    let mut console = Console::at(&place.service.root().join("guest/com1"));
    // It stands still, so what it is asked is lost with it.
    let script = r#"for process in /proc/[0-9]*; do
            [ $process != /proc/1 ] && [ "$(cat $process/comm)" = hcs-guest ] && break
        done
        agent=${process#/proc/}
        setsid sh -c "read line; kill -9 $agent" < /dev/ttyS0 > /dev/null 2>&1 &
        kill -STOP $agent"#;
    let _process = place.system.run(&crate::script(script));
    let is_lost = || heartbeat(&place.system) != Some(IntegrationComponentOperationalState::Ok);
    hcs_tests::until("the agent stands still", SOON, is_lost);
    place.system.shut_down(None).wait().unwrap();
    console.type_line("now");
    let status = place.system.wait_blocking().unwrap();
    assert_eq!(status.exit_type, Some(NotificationType::GracefulExit));
    place.service.await_nothing_left();
}

#[test]
fn containers_end_with_their_machine_and_are_told_so_first() {
    let site = Site::hosted();
    let container = site.running("web");
    let process = run(&container, &command(&["sleep", "1000"]));
    let client = site.service.client();
    let watched = container.properties(None).wait().unwrap();
    assert_eq!(watched.hosting_system_id.as_deref(), Some("vm"));
    // It cannot be saved with them in it: nobody would know of them where it goes on.
    let host = site.host.as_ref().unwrap();
    host.pause(None).wait().unwrap();
    let template = SaveOptions::default().save_type(SaveType::AsTemplate);
    let error = refused(host.save(&template).wait(), Cause::NotSupported);
    assert!(error.message.contains("hosts containers"), "{error}");
    host.resume().wait().unwrap();
    processes::signal(site.service.worker(host), Signal::KILL);
    assert_eq!(exit_code(&process), 137);
    assert_eq!(container.wait_blocking().unwrap().exit_type, Some(NotificationType::UnexpectedExit));
    refused(client.open("web").wait(), Cause::SystemNotFound);
    drop(site.host);
    site.service.await_nothing_left();
    // Without a machine, or in a container, there is no container in a machine.
    let service = site.service;
    let document = crate::place::inside("vm", hcs::schema::Container::default());
    let error = refused(service.client().create("web", &document).wait(), Cause::SystemNotFound);
    assert!(error.message.contains("$.HostingSystemId"), "{error}");
    let _web = service.running(&service.client(), "vm");
    refused(service.client().create("web", &document).wait(), Cause::NotSupported);
}

#[test]
fn a_restarted_service_finds_machines_containers_and_processes_again() {
    let Place { system, host, mut service } = Place::hosted();
    let host = host.unwrap();
    let ticking = script("n=0; while :; do n=$((n + 1)); echo tick $n; sleep 0.1; done");
    let (mut outside, mut inside) = (run(&host, &ticking), run(&system, &ticking));
    let (outside_says, inside_says) =
        (outside.pipes.stdout.take().unwrap(), inside.pipes.stdout.take().unwrap());
    await_line(&outside_says, "tick 2\n");
    service.kill();
    service.restart();
    // Not a single number: it may have come with what was looked for before, and then does not come again.
    await_line(&outside_says, "0\n");
    await_line(&inside_says, "tick 9\n");
    assert_eq!(output(&system, "echo here"), "here\n");
    assert_eq!(output(&host, "echo there"), "there\n");
    inside.kill().wait().unwrap();
    assert_eq!(exit_code(&inside), 137);
    outside.kill().wait().unwrap();
    assert_eq!(exit_code(&outside), 137);
    Place { system, host: Some(host), service }.end();
}

#[test]
fn a_guest_that_hangs_is_told_from_one_that_lives_and_is_ended_all_the_same() {
    let site = Site::hosted();
    let container = site.running("web");
    let host = site.host.as_ref().unwrap();
    await_agent(host);
    let qemu = site.service.leftovers().processes;
    let [qemu] = &qemu[..] else { panic!("found {qemu:?}, expected one process") };
    processes::signal(*qemu, Signal::STOP);
    assert_eq!(heartbeat(host), Some(IntegrationComponentOperationalState::LostCommunication));
    let began = Instant::now();
    container.terminate().wait().unwrap();
    host.terminate().wait().unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    site.service.await_nothing_left();
}

#[test]
fn a_machine_whose_agent_does_not_come_or_speaks_nonsense_does_not_start() {
    for says in [
        "sleep 1",
        "port=$(grep -l io.hcs.guest /sys/class/virtio-ports/*/name | cut -d/ -f5); \
        while :; do head -c 100000 /dev/urandom; done >/dev/$port",
    ] {
        let service = Service::start_impatient();
        let guest = Guest::make(service.root(), &format!("echo ready; {says}; sleep 1000"));
        let document = guest.document_with(|machine| machine.guest_connection(GuestConnection::default()));
        let system = service.client().create("vm", &document).wait().unwrap();
        let error = refused(system.start().wait(), Cause::ConnectionTimeout);
        assert!(error.message.contains("$.VirtualMachine.GuestConnection"), "{error}");
        assert_eq!(system.wait_blocking().unwrap().exit_type, Some(NotificationType::ForcedExit));
        service.await_nothing_left();
    }
}

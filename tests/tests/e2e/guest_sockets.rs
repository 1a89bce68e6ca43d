//! A machine whose agent knows only sockets (UseVsock): everything is as it is with the port, and nobody is listened to where
//! nobody should be. The agent is ours, which finds by itself that there is no port.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{Read, Write},
    time::{Duration, Instant},
};

use hcs::{
    Cause, Event, System,
    schema::{GuestConnection, NotificationType, SaveOptions, SystemPropertyQuery, SystemPropertyType},
};
use hcs_tests::{Service, counts, machine::Guest, processes};
use rustix::process::Signal;

use crate::{
    command, exit_code,
    guest_deaths::{await_agent, is_there},
    guests, output,
    place::{Place, inside},
    process, refused, run, script, streams,
};

/// A minute, for what takes seconds.
const SOON: Duration = Duration::from_secs(60);

/// What listens for the guest.
fn sockets(place: &Place) -> BTreeSet<String> {
    let folder = place.service.root().join("run/systems").join(place.system.runtime_id()).join("hvsocket");
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn properties(system: &System, kind: SystemPropertyType) -> hcs::schema::Properties {
    let query = SystemPropertyQuery::default().property_types(vec![kind]);
    system.properties(Some(&query)).wait().unwrap()
}

#[test]
#[ignore = "long: all that is tried of processes, a third time"]
fn processes_of_an_agent_that_speaks_by_sockets_are_what_they_are_in_a_container() {
    let mut place = Place::machine_by_sockets();
    // What is said in a hundred megabytes takes longer by a program between.
    place.service.be_patient();
    process::all(&place);
    streams::all(&place);
    guests::fifty_processes(&place);
    let expected = ["connect", "connect_1", "connect_109", "connect_1073741824"];
    assert_eq!(sockets(&place), expected.map(str::to_owned).into());
    place.end();
}

#[test]
fn a_machine_whose_agent_speaks_by_sockets_is_what_others_are_but_for_its_saving() {
    let place = Place::machine_by_sockets();
    let (service, system) = (&place.service, &place.system);
    assert_eq!(output(system, "cat /sys/class/virtio-ports/*/name 2>/dev/null; hostname"), "vm\n");
    let connection = properties(system, SystemPropertyType::GuestConnection).guest_connection_info.unwrap();
    assert_eq!(connection.protocol_version, Some(4));
    await_agent(system);
    output(system, "echo 'heard over there' > /proc/$(ps | awk '/hcs-guest agent/ { print $1; exit }')/fd/2");
    hcs_tests::until("the log is heard", SOON, || service.log().contains("guest: heard over there"));

    let container = service.running_from("web", &inside("vm", hcs::schema::Container::default()));
    assert_eq!(output(&container, "echo inside"), "inside\n");
    container.terminate().wait().unwrap();
    drop(container);

    system.pause(None).wait().unwrap();
    let path = service.root().join("saved.vmrs").display().to_string();
    let error =
        refused(system.save(&SaveOptions::default().save_state_file_path(path)).wait(), Cause::NotSupported);
    assert!(error.message.contains("UseVsock"), "{error}");
    system.resume().wait().unwrap();
    stands_still_while_bytes_flow(system);

    // Who has nothing to do does nothing.
    let worker = service.worker(system);
    let carrier = carrier(worker);
    let who = [worker, carrier];
    let before = processes::processor_time(&who);
    std::thread::sleep(Duration::from_secs(1));
    let used = processes::processor_time(&who) - before;
    assert!(used < 10, "they have used {used} hundredths of a second in one second of rest");

    system.shut_down(None).wait().unwrap();
    assert_eq!(system.wait_blocking().unwrap().exit_type, Some(NotificationType::GracefulExit));
    service.await_nothing_left();
}

/// A machine stands still again and again while bytes flow in both directions, and none is lost.
fn stands_still_while_bytes_flow(system: &System) {
    let said: Vec<u8> = (0..8_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut echo = run(system, &command(&["cat"]).create_std_in_pipe(true));
    let (to, from) = (echo.pipes.stdin.take().unwrap(), echo.pipes.stdout.take().unwrap());
    std::thread::scope(|scope| {
        let said = &said;
        scope.spawn(move || File::from(to).write_all(said).unwrap());
        let heard = scope.spawn(move || {
            let mut heard = Vec::new();
            File::from(from).read_to_end(&mut heard).unwrap();
            heard
        });
        for round in 0..40 {
            system.pause(None).wait().unwrap();
            system.resume().wait().unwrap();
            assert_eq!(output(system, &format!("echo {round}")), format!("{round}\n"));
        }
        assert!(heard.join().unwrap() == *said, "other bytes have come than were said");
    });
    assert_eq!(exit_code(&echo), 0);
}

#[test]
fn an_agent_that_speaks_by_sockets_and_is_killed_is_replaced_and_so_is_one_whose_machine_starts_again() {
    let place = Place::machine_by_sockets();
    let system = &place.system;
    let mut events = system.events();
    let process = run(system, &command(&["sleep", "1000"]));
    // Maybe before anybody has heard that it runs.
    let _dying = system.run(&script("kill -9 $(ps | awk '/hcs-guest agent/ { print $1; exit }')"));
    assert!(matches!(events.blocking_recv(), Some(Event::GuestConnectionClosed)));
    assert_eq!(exit_code(&process), 137);
    await_agent(system);
    assert_eq!(output(system, "echo again"), "again\n");
    // So is one whose machine starts again, without a word to anybody.
    let process = run(system, &command(&["sleep", "1000"]));
    let _dying = system.run(&script("reboot -f"));
    while !matches!(events.blocking_recv(), Some(Event::GuestConnectionClosed)) {}
    assert_eq!(exit_code(&process), 137);
    await_agent(system);
    assert_eq!(output(system, "echo anew"), "anew\n");
    place.end();
}

/// Who carries the sockets of a worker's machine.
fn carrier(worker: u32) -> u32 {
    let is_carrier = |pid: &u32| processes::read(*pid, "comm").trim() == "hcs-sockets";
    processes::children(worker).into_iter().find(is_carrier).expect("who carries the sockets")
}

#[test]
fn a_machine_goes_on_without_sockets_when_who_carries_them_has_died() {
    let place = Place::machine_by_sockets();
    let (service, system) = (&place.service, &place.system);
    let mut events = system.events();
    counts::bring_out(system);
    processes::signal(carrier(service.worker(system)), Signal::KILL);
    while !matches!(events.blocking_recv(), Some(Event::GuestConnectionClosed)) {}
    assert!(!is_there(system));
    refused(system.run(&script("true")).wait(), Cause::ConnectionClosed);
    system.pause(None).wait().unwrap();
    system.resume().wait().unwrap();
    system.terminate().wait().unwrap();
    assert_eq!(system.wait_blocking().unwrap().exit_type, Some(NotificationType::ForcedExit));
    service.await_nothing_left();
}

#[test]
fn a_machine_whose_agent_does_not_call_does_not_start() {
    let service = Service::start_impatient();
    let guest = Guest::make(service.root(), "echo ready; sleep 1000");
    let connection = GuestConnection::default().use_vsock(true);
    let document = guest.document_with(|machine| machine.guest_connection(connection));
    let system = service.client().create("vm", &document).wait().unwrap();
    let began = Instant::now();
    let error = refused(system.start().wait(), Cause::ConnectionTimeout);
    assert!(error.message.contains("$.VirtualMachine.GuestConnection"), "{error}");
    assert!(began.elapsed() >= Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(system.wait_blocking().unwrap().exit_type, Some(NotificationType::ForcedExit));
    service.await_nothing_left();
}

//! Inside of a virtual machine: processes that the agent there starts, and what becomes of them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hcs::schema::{OsType, RestoreState, SaveOptions, SaveType, SystemPropertyQuery, SystemPropertyType};
use hcs_tests::{Service, counts, machine::Guest, processes};

use crate::{
    command, exit_code, lifecycle, output,
    place::{Place, Site, utility},
    process, run, streams,
};

#[test]
fn a_machine_with_an_agent_runs_processes_and_tells_what_the_agent_can_do() {
    let Place { system, service, .. } = Place::machine();
    assert_eq!(output(&system, "echo $((6 * 7)); id -u; cat /proc/1/comm"), "42\n0\ninit\n");
    let kinds = vec![SystemPropertyType::GuestConnection, SystemPropertyType::ICHeartbeatStatus];
    let properties =
        system.properties(Some(&SystemPropertyQuery::default().property_types(kinds))).wait().unwrap();
    assert_eq!(properties.runtime_os_type, Some(OsType::Linux));
    let connection = properties.guest_connection_info.unwrap();
    assert_eq!(connection.protocol_version, Some(4));
    // Who has nothing to do does nothing.
    let worker = [service.worker(&system)];
    let before = processes::processor_time(&worker);
    std::thread::sleep(Duration::from_secs(1));
    let used = processes::processor_time(&worker) - before;
    assert!(used < 10, "its worker has used {used} hundredths of a second in one second of rest");
    system.shut_down(None).wait().unwrap();
    let status = system.wait_blocking().unwrap();
    println!("{status:?}");
    service.await_nothing_left();
}

#[test]
fn processes_in_a_machine_are_what_they_are_in_a_container() {
    let mut place = Place::machine();
    place.service.be_patient();
    process::all(&place);
    streams::all(&place);
    place.end();
}

#[test]
fn processes_in_a_container_in_a_machine_are_what_they_are_on_the_host() {
    let mut place = Place::hosted();
    place.service.be_patient();
    process::all(&place);
    streams::all(&place);
    place.end();
}

#[test]
fn the_life_of_a_container_in_a_machine_is_that_of_one_on_the_host() {
    let site = Site::hosted();
    lifecycle::all(&site);
    site.end();
}

/// How far the clock of a guest is from that of the host, in seconds.
fn wrong_by(system: &hcs::System) -> i64 {
    let own = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let before = own();
    let guest: i64 = output(system, "date +%s").trim().parse().unwrap();
    (before - guest).max(guest - own()).max(0)
}

#[test]
fn clones_of_a_machine_with_an_agent_are_others_and_can_be_used_at_once() {
    let service = Service::start();
    let mut document = utility(&service);
    let template = service.running_from("first", &document);
    assert_eq!(output(&template, "hostname"), "first\n");
    let machine_id = output(&template, "cat /etc/machine-id");
    assert_eq!(machine_id.trim(), template.runtime_id().replace('-', ""));
    // It goes on in each clone, though nobody listens to it any more.
    let _beside = run(
        &template,
        &crate::script(
            "n=0; while :; do n=$((n + 1)); echo $n > /tmp/n; mv /tmp/n /tmp/count; echo $n; sleep 0.05; done",
        ),
    );
    template.pause(None).wait().unwrap();
    template.save(&SaveOptions::default().save_type(SaveType::AsTemplate)).wait().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    document.virtual_machine = document
        .virtual_machine
        .map(|machine| machine.restore_state(RestoreState::default().template_system_id("first")));
    for name in ["second", "third"] {
        let clone = service.client().create(name, &document_of(&document, &service, name)).wait().unwrap();
        let began = Instant::now();
        clone.start().wait().unwrap();
        let process = run(&clone, &command(&["true"]));
        println!("the first process of {name} ran {:?} after the start was called", began.elapsed());
        assert_eq!(exit_code(&process), 0);
        assert_eq!(output(&clone, "hostname").trim(), name);
        assert_eq!(output(&clone, "cat /etc/machine-id").trim(), clone.runtime_id().replace('-', ""));
        assert!(wrong_by(&clone) <= 1, "the clock of {name} is wrong by {} s", wrong_by(&clone));
        output(&clone, "a=$(cat /tmp/count); sleep 1; test $(cat /tmp/count) -gt $a");
        counts::bring_out(&clone);
        clone.terminate().wait().unwrap();
    }
    template.terminate().wait().unwrap();
    service.await_nothing_left();
}

/// The document with a serial port of its own for the machine of this name.
fn document_of(
    document: &hcs::schema::ComputeSystem,
    service: &Service,
    name: &str,
) -> hcs::schema::ComputeSystem {
    let mut document = document.clone();
    document.virtual_machine = document.virtual_machine.map(|machine| {
        let port = service.root().join(name).display().to_string();
        let port = hcs::schema::ComPort::default().named_pipe(port);
        let devices = machine.devices.clone().unwrap_or_default();
        machine.devices(devices.com_ports([("0".to_owned(), port)]))
    });
    document
}

#[test]
fn a_machine_that_has_stood_still_knows_what_time_it_is() {
    let Place { system, service, .. } = Place::machine();
    system.pause(None).wait().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    system.resume().wait().unwrap();
    hcs_tests::until("the clock is right", Duration::from_secs(5), || wrong_by(&system) <= 1);
    Place { system, host: None, service }.end();
}

#[test]
fn of_fifty_processes_at_once_those_that_nobody_listens_to_hold_up_no_other() {
    let place = Place::machine();
    fifty_processes(&place);
    place.end();
}

/// Half of them are heard only later, and go on then.
pub fn fifty_processes(place: &Place) {
    let system = &place.system;
    let mut deaf: Vec<_> = (0..25).map(|_| run(system, &command(&["yes", "0123456789abcde"]))).collect();
    let began = Instant::now();
    let heard: Vec<_> = (0..25).map(|number| run(system, &command(&["echo", &number.to_string()]))).collect();
    for (number, mut process) in heard.into_iter().enumerate() {
        assert_eq!(crate::read_all(process.pipes.stdout.take()), format!("{number}\n"));
        assert_eq!(exit_code(&process), 0);
    }
    println!("25 processes beside 25 that nobody listens to took {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // Those go on as soon as somebody listens.
    for process in &mut deaf {
        let mut said = vec![0; 2 << 20];
        let mut from = std::fs::File::from(process.pipes.stdout.take().unwrap());
        std::io::Read::read_exact(&mut from, &mut said).unwrap();
        assert!(said.chunks_exact(16).all(|line| line == b"0123456789abcde\n"));
        drop(from);
        // Who says something that nobody can hear any more dies of it.
        assert_eq!(exit_code(process), 128 + 13);
    }
}

#[test]
fn an_agent_may_be_an_ordinary_service_of_its_machine() {
    // As a distribution's init would: it mounts what is usual, and starts the agent again when it ends.
    const INIT: &str = "mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
        mkdir -p /dev/pts; mount -t devpts pts /dev/pts; mount -t cgroup2 cgroup /sys/fs/cgroup
        while :; do hcs-guest; sleep 0.1; done";
    let service = Service::start();
    let guest = Guest::with_init(service.root(), &service.rootfs(), INIT);
    let document =
        guest.document_with(|machine| machine.guest_connection(hcs::schema::GuestConnection::default()));
    let system = service.running_from("vm", &document);
    assert_eq!(output(&system, "cat /proc/1/comm"), "init\n");
    let place = Place { system, host: None, service };
    process::all(&place);
    place.end();
}

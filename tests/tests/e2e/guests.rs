//! Inside of a virtual machine: processes that the agent there starts, and what becomes of them.

use hcs::{
    System,
    schema::{self, OsType, SystemPropertyQuery, SystemPropertyType},
};
use hcs_tests::{Service, machine::Guest};

use crate::output;

/// A utility machine that runs, and answers.
fn connected() -> (Service, System) {
    let service = Service::start();
    let guest = Guest::utility(service.root());
    let document =
        guest.document_with(|machine| machine.guest_connection(schema::GuestConnection::default()));
    let system = service.running_from("vm", &document);
    (service, system)
}

#[test]
fn a_machine_with_an_agent_runs_processes_and_tells_what_the_agent_can_do() {
    let (service, system) = connected();
    assert_eq!(output(&system, "echo $((6 * 7)); id -u; cat /proc/1/comm"), "42\n0\ninit\n");
    let kinds = vec![SystemPropertyType::GuestConnection, SystemPropertyType::ICHeartbeatStatus];
    let properties =
        system.properties(Some(&SystemPropertyQuery::default().property_types(kinds))).wait().unwrap();
    assert_eq!(properties.runtime_os_type, Some(OsType::Linux));
    let connection = properties.guest_connection_info.unwrap();
    assert_eq!(connection.protocol_version, Some(4));
    system.shut_down(None).wait().unwrap();
    let status = system.wait_blocking().unwrap();
    println!("{status:?}");
    service.await_nothing_left();
}

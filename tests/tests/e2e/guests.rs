//! Inside of a virtual machine: processes that the agent there starts, and what becomes of them.

use hcs::schema::{OsType, SystemPropertyQuery, SystemPropertyType};

use crate::{
    lifecycle, output,
    place::{Place, Site},
    process, streams,
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
    system.shut_down(None).wait().unwrap();
    let status = system.wait_blocking().unwrap();
    println!("{status:?}");
    service.await_nothing_left();
}

#[test]
fn processes_in_a_machine_are_what_they_are_in_a_container() {
    let place = Place::machine();
    process::all(&place);
    streams::all(&place);
    place.end();
}

#[test]
fn processes_in_a_container_in_a_machine_are_what_they_are_on_the_host() {
    let place = Place::hosted();
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

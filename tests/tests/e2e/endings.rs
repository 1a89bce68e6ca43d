//! How containers and processes end that were not asked to: without memory, and with their first process.

use hcs::{
    Cause, System,
    schema::{ContainerMemory, ExitInitiator, NotificationType, SystemPropertyQuery, SystemPropertyType},
};
use hcs_tests::{Service, processes};
use rustix::process::Signal;

use crate::{output, refused, run, script};

const LIMIT: u64 = 48;

fn limited(service: &Service, id: &str) -> System {
    let memory = ContainerMemory::default().size_in_mb(LIMIT);
    service.running_from(id, &service.document_with(|container| container.memory(memory)))
}

/// Needs more memory than there is.
const GREEDY: &str = "head -c 200000000 /dev/zero | tail -c 190000000 >/dev/null; exit 0";

#[test]
fn a_process_that_the_memory_limit_kills_says_so_and_its_container_goes_on() {
    let service = Service::start();
    let system = limited(&service, "web");
    let killed = run(&system, &script("exec tail -c 190000000 </dev/zero")).wait_blocking().unwrap();
    assert_eq!(killed.exit_code, Some(137));
    assert_eq!(killed.linux.and_then(|linux| linux.killed_by_memory_limit), Some(true));
    // One that is killed otherwise does not, though the limit has killed before.
    let signalled = run(&system, &script("kill -9 $$")).wait_blocking().unwrap();
    assert_eq!((signalled.exit_code, signalled.linux), (Some(137), None));
    assert_eq!(run(&system, &script(GREEDY)).wait_blocking().unwrap().exit_code, Some(0));
    output(&system, "true");
}

#[test]
fn a_container_whose_first_process_has_no_memory_ends_and_says_why() {
    let service = Service::start();
    let system = limited(&service, "web");
    let init = processes::children(service.worker(&system))[0];
    // The kernel kills the largest; this makes the first process seem larger than any of the others is.
    std::fs::write(format!("/proc/{init}/oom_score_adj"), "1000").unwrap();
    let greedy =
        run(&system, &script("for i in 1 2 3 4 5 6 7 8 9 10; do tail -c 7000000 </dev/zero & done; wait"));
    let status = system.wait_blocking().unwrap();
    assert_eq!(status.exit_type, Some(NotificationType::UnexpectedExit));
    assert_eq!(status.status.map(|status| status as u32), Some(0x8007_000E), "E_OUTOFMEMORY");
    let record = status.attribution.unwrap().into_iter().find_map(|record| record.system_exit).unwrap();
    assert_eq!(record.initiator, Some(ExitInitiator::GuestOS));
    assert_eq!(greedy.wait_blocking().unwrap().exit_code, Some(137));
    service.await_nothing_left();
}

#[test]
fn a_container_ends_with_its_first_process_and_nothing_is_left() {
    let service = Service::start();
    let system = service.running(&service.client(), "web");
    let sleeper = run(&system, &script("trap '' TERM; (sleep 1000 &) ; sleep 1000"));
    let init = processes::children(service.worker(&system))[0];
    processes::signal(init, Signal::KILL);
    let status = system.wait_blocking().unwrap();
    assert_eq!(status.exit_type, Some(NotificationType::UnexpectedExit));
    assert_eq!(status.status.map(|status| status as u32), Some(0x8037_0106));
    assert_eq!(sleeper.wait_blocking().unwrap().exit_code, Some(137));
    refused(system.run(&script("true")).wait(), Cause::SystemAlreadyStopped);
    service.await_nothing_left();
}

#[test]
fn the_first_process_of_a_container_cannot_be_killed_from_inside() {
    let service = Service::start();
    let system = service.running(&service.client(), "web");
    output(&system, "kill -9 1; kill -15 1; kill -11 1; kill -0 1");
    output(&system, "true");
}

#[test]
fn the_service_and_its_workers_outlive_their_containers_when_memory_is_short() {
    let service = Service::start();
    let system = service.running(&service.client(), "web");
    let score = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    // Not every root may do that, for instance not that of a container.
    let may = std::fs::write("/proc/thread-self/oom_score_adj", "-1").is_ok();
    let wanted = if may { "-900\n" } else { "0\n" };
    assert_eq!(score(service.pid()), wanted);
    assert_eq!(score(service.worker(&system)), wanted);
    assert_eq!(output(&system, "cat /proc/self/oom_score_adj"), "0\n");
}

#[test]
fn memory_and_disk_traffic_are_told() {
    let service = Service::start();
    let system = limited(&service, "web");
    output(&system, "dd if=/dev/zero of=/file bs=1M count=4 conv=fsync 2>/dev/null");
    let query = SystemPropertyQuery::default()
        .property_types(vec![SystemPropertyType::Memory, SystemPropertyType::Statistics]);
    let properties = system.properties(Some(&query)).wait().unwrap();
    let memory = properties.memory.unwrap().virtual_machine_memory.unwrap();
    assert_eq!(memory.assigned_memory, Some(LIMIT << 20 >> 12));
    assert!((1..=100).contains(&memory.available_memory.unwrap()));
    let storage = properties.statistics.unwrap().storage.unwrap();
    // A folder that is in memory is on no disk.
    if storage.write_size_bytes != Some(0) {
        assert!(storage.write_size_bytes.unwrap() >= 4 << 20, "{storage:?}");
        assert!(storage.write_count_normalized.unwrap() > 0);
    }
}

//! Containers on a host with cgroup v2 and nothing else.

use std::{fs, path::Path};

use hcs::{
    Cause,
    schema::{ContainerMemory, SystemPropertyQuery, SystemPropertyType},
};
use hcs_tests::{Service, processes};
use rustix::process::Signal;

use crate::{command, output, refused, run, script};

/// The group of a process in the v2 hierarchy, as the host sees it.
fn group(pid: u32) -> String {
    let all = processes::read(pid, "cgroup");
    all.lines().find_map(|line| line.strip_prefix("0::")).expect("a v2 group").to_owned()
}

fn offered(controller: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount =
        mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
    let file = Path::new(mount.expect("a v2 mount")).join("cgroup.controllers");
    fs::read_to_string(file).unwrap().split_whitespace().any(|one| one == controller)
}

#[test]
fn a_life_is_the_same_and_every_process_is_born_in_the_group() {
    let service = Service::start_on_cgroup2();
    let system = service.running(&service.client(), "web");
    let sleeper = run(&system, &command(&["sleep", "1000"]));
    let worker = service.worker(&system);
    let inside: Vec<u32> = processes::children(worker);
    assert_eq!(inside.len(), 2);
    for pid in inside {
        assert!(group(pid).ends_with(system.runtime_id()), "{}", group(pid));
    }
    assert_ne!(group(worker), group(processes::children(worker)[0]));
    // The namespace hides where that is.
    assert_eq!(output(&system, "sed -n s/^0:://p /proc/self/cgroup"), "/\n");

    let counting = run(&system, &script("while :; do echo x >> /tmp/count; usleep 1000; done"));
    system.pause(None).wait().unwrap();
    let count = || fs::metadata(service.rootfs().join("tmp/count")).map_or(0, |file| file.len());
    let before = count();
    let query = SystemPropertyQuery::default()
        .property_types(vec![SystemPropertyType::Statistics, SystemPropertyType::ProcessList]);
    let properties = system.properties(Some(&query)).wait().unwrap();
    assert!(properties.statistics.unwrap().processor.unwrap().total_runtime_100ns.unwrap() > 0);
    assert!(properties.process_list.unwrap().len() >= 3);
    assert_eq!(count(), before, "a frozen process writes");
    // Who is frozen is killed all the same.
    system.terminate().wait().unwrap();
    assert_eq!(sleeper.wait_blocking().unwrap().exit_code, Some(137));
    assert_eq!(counting.wait_blocking().unwrap().exit_code, Some(137));
    service.await_nothing_left();
}

#[test]
fn what_a_killed_worker_leaves_is_removed() {
    let service = Service::start_on_cgroup2();
    let system = service.running(&service.client(), "web");
    run(&system, &script("trap '' TERM; sleep 1000 & sleep 1000"));
    system.pause(None).wait().unwrap();
    processes::signal(service.worker(&system), Signal::KILL);
    system.wait_blocking().unwrap();
    service.await_nothing_left();
}

#[test]
fn a_limit_holds_or_is_refused_by_the_name_of_the_controller_that_is_missing() {
    let service = Service::start_on_cgroup2();
    let memory = ContainerMemory::default().size_in_mb(64u64);
    let document = service.document_with(|container| container.memory(memory));
    let created = service.client().create("web", &document).wait();
    if offered("memory") {
        let system = created.unwrap();
        system.start().wait().unwrap();
        let killed = run(&system, &script("exec tail -c 190000000 </dev/zero")).wait_blocking().unwrap();
        assert_eq!(killed.exit_code, Some(137));
    } else {
        let error = refused(created, Cause::NotSupported);
        assert!(error.message.contains("\"memory\""), "{error}");
    }
}

//! Workers that die or hang.

use std::time::{Duration, Instant};

use hcs::{
    Cause,
    schema::{NotificationType, State, WorkerExitType},
};
use hcs_tests::{Service, processes};
use rustix::process::Signal;

use crate::{exit_code, output, refused, run, script};

/// How long the end of a system whose worker hangs may take.
const BOUND: Duration = Duration::from_secs(15);

#[test]
fn the_death_of_a_worker_ends_its_system_as_unexpected() {
    let service = Service::start();
    let client = service.client();
    let (system, other) = (service.running(&client, "web"), service.running(&client, "other"));
    let process = run(&system, &script("trap '' TERM; sleep 1000 & wait"));
    let began = Instant::now();
    processes::signal(service.worker(&system), Signal::KILL);
    let status = system.wait_blocking().unwrap();
    println!("told after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(status.exit_type, Some(NotificationType::UnexpectedExit));
    assert_eq!(status.status.map(|status| status as u32), Some(0x8037_0106));
    let worker = status.attribution.unwrap().into_iter().find_map(|record| record.worker_exit).unwrap();
    assert_eq!(worker.type_, Some(WorkerExitType::UnexpectedStop));
    assert_eq!(worker.exit_code, Some(137));
    assert_eq!(exit_code(&process), 137);
    refused(system.run(&script("true")).wait(), Cause::SystemAlreadyStopped);
    assert_eq!(output(&other, "echo untouched"), "untouched\n");
    other.terminate().wait().unwrap();
    service.await_nothing_left();
    // The id is free again.
    service.running(&client, "web").terminate().wait().unwrap();
}

#[test]
fn a_worker_dies_in_every_state_without_a_trace() {
    let service = Service::start();
    let client = service.client();
    let created = client.create("created", &service.document()).wait().unwrap();
    let paused = service.running(&client, "paused");
    run(&paused, &script("sleep 1000"));
    paused.pause(None).wait().unwrap();
    for system in [created, paused] {
        processes::signal(service.worker(&system), Signal::KILL);
        assert_eq!(system.wait_blocking().unwrap().exit_type, Some(NotificationType::UnexpectedExit));
    }
    service.await_nothing_left();
}

#[test]
fn a_worker_that_hangs_delays_nobody_and_its_system_can_be_terminated() {
    let service = Service::start();
    let client = service.client();
    let (system, other) = (service.running(&client, "web"), service.running(&client, "other"));
    let process = run(&system, &script("sleep 1000"));
    processes::signal(service.worker(&system), Signal::STOP);
    let began = Instant::now();
    assert_eq!(system.properties(None).wait().unwrap().state, Some(State::Running));
    assert_eq!(output(&other, "echo swift"), "swift\n");
    assert!(began.elapsed() < Duration::from_secs(1), "others were delayed by {:?}", began.elapsed());
    let began = Instant::now();
    system.terminate().wait().unwrap();
    println!("terminated after {:?}", began.elapsed());
    assert!(began.elapsed() < BOUND, "the termination took {:?}", began.elapsed());
    assert_eq!(system.wait_blocking().unwrap().exit_type, Some(NotificationType::ForcedExit));
    assert_eq!(exit_code(&process), 137);
    other.terminate().wait().unwrap();
    service.await_nothing_left();
}

#[test]
fn a_call_that_hangs_is_listed_with_its_system() {
    let service = Service::start();
    let client = service.client();
    let system = service.running(&client, "web");
    let worker = service.worker(&system);
    processes::signal(worker, Signal::STOP);
    let pausing = system.pause(None);
    hcs_tests::until("the call is listed", Duration::from_secs(5), || {
        let operations = client.operations().wait().unwrap();
        operations
            .iter()
            .any(|one| one.method.ends_with("PauseComputeSystem") && one.id.as_deref() == Some("web"))
    });
    processes::signal(worker, Signal::CONT);
    pausing.wait().unwrap();
    assert_eq!(system.properties(None).wait().unwrap().state, Some(State::Paused));
}

#[test]
fn workers_are_made_again_when_all_that_were_ready_are_killed() {
    let service = Service::start();
    let client = service.client();
    for round in 0..3 {
        let system = service.running(&client, &format!("web-{round}"));
        let spare = service.spare_workers();
        assert!(!spare.is_empty(), "there is none, not even the one that makes the others");
        // One that is just being made is ended by the service when its maker dies.
        spare.iter().for_each(|pid| processes::kill_if_there(*pid));
        while spare.iter().any(|pid| processes::is_alive(*pid)) {
            std::thread::yield_now();
        }
        let next = service.running(&client, &format!("next-{round}"));
        assert_eq!(output(&next, "echo works"), "works\n");
        assert_eq!(output(&system, "echo untouched"), "untouched\n");
    }
    // The dead are buried: none of them stays as a child that nobody has waited for.
    let dead = || {
        processes::all()
            .into_iter()
            .filter(|pid| processes::read(*pid, "stat").contains(&format!(") Z {} ", service.pid())))
            .count()
    };
    let began = Instant::now();
    while dead() > 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "{} zombies", dead());
        std::thread::yield_now();
    }
}

#[test]
#[ignore = "long: it waits until an idle worker would be tired of waiting"]
fn a_service_that_nobody_uses_uses_no_processor() {
    let service = Service::start();
    let client = service.client();
    let system = service.running(&client, "web");
    let mut all = service.all_spare_workers();
    all.extend([service.pid(), service.worker(&system)]);
    std::thread::sleep(Duration::from_secs(62));
    let before = processes::processor_time(&all);
    std::thread::sleep(Duration::from_secs(5));
    let used = processes::processor_time(&all) - before;
    assert!(used <= 2, "{used} hundredths of a second in five seconds");
}

#[test]
fn a_worker_that_is_killed_when_it_has_just_been_chosen_is_replaced_by_the_next() {
    let service = Service::start();
    let client = service.client();
    // The mother of the others was born first, and the kernel lists children in that order. The others hang, so that one dies
    // after it was chosen.
    let spare = service.all_spare_workers();
    for pid in &spare[1..] {
        processes::signal(*pid, Signal::STOP);
    }
    let creation = client.create("web", &service.document());
    hcs_tests::until("a worker is chosen", Duration::from_secs(5), || {
        client.operations().wait().unwrap().iter().any(|one| one.id.as_deref() == Some("web"))
    });
    for pid in &spare[1..] {
        processes::signal(*pid, Signal::KILL);
    }
    let system = creation.wait().unwrap();
    system.start().wait().unwrap();
    assert_eq!(output(&system, "echo works"), "works\n");
    system.terminate().wait().unwrap();
    service.await_nothing_left();
}

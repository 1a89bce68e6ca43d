//! One system from its creation to its end, as a program sees it.

use hcs::{
    Cause, Event,
    schema::{
        ExitInitiator, NotificationType, State, SystemExitDetail, SystemPropertyQuery, SystemPropertyType,
    },
};
use hcs_tests::{Service, leftovers};

use crate::{
    command, exit_code, output,
    place::{Site, in_every_place},
    read_all, refused, run, script,
};

#[test]
fn a_container_is_created_started_used_and_terminated() {
    let service = Service::start();
    let client = service.client();
    let system = client.create("Web-1", &service.document()).wait().unwrap();
    assert_eq!(system.id(), "Web-1");
    assert_eq!(system.properties(None).wait().unwrap().state, Some(State::Created));
    system.start().wait().unwrap();

    // What the check for leftovers looks for is there now, so that it can fail at all.
    let present = service.leftovers();
    assert!(!present.cgroups.is_empty() && !leftovers::parents(service.root()).is_empty());
    assert!(!present.processes.is_empty() && !present.workers.is_empty() && !present.files.is_empty());

    let mut process = run(&system, &command(&["echo", "hello"]));
    assert_eq!(read_all(process.pipes.stdout.take()), "hello\n");
    assert_eq!(exit_code(&process), 0);

    let properties = system.properties(None).wait().unwrap();
    assert_eq!(properties.id.as_deref(), Some("Web-1"));
    assert_eq!(properties.owner.as_deref(), Some("tests"));
    assert_eq!(properties.state, Some(State::Running));
    assert_eq!(properties.runtime_id.unwrap().to_string(), system.runtime_id());

    system.terminate().wait().unwrap();
    let status = system.wait_blocking().unwrap();
    assert_eq!(status.exit_type, Some(NotificationType::ForcedExit));
    assert_eq!(status.status, Some(0));
    let exit = status.attribution.unwrap()[0].system_exit.clone().unwrap();
    assert_eq!(
        (exit.detail, exit.initiator),
        (Some(SystemExitDetail::Terminate), Some(ExitInitiator::Client))
    );
    // Nothing may be left at the very moment when the termination has been answered.
    assert!(service.leftovers().is_empty(), "left: {}", service.leftovers());
    refused(system.terminate().wait(), Cause::SystemAlreadyStopped);
    refused(system.run(&command(&["true"])).wait(), Cause::SystemAlreadyStopped);
    refused(client.open("Web-1").wait(), Cause::SystemNotFound);
}

in_every_place! {
    Site:
    a_shutdown_ends_gracefully_and_lets_processes_finish,
    a_paused_container_stands_still_and_goes_on_after_a_resume,
    a_created_container_refuses_what_needs_a_running_one,
    properties_tell_statistics_and_processes,
    the_limits_and_the_isolation_of_a_document_hold_inside,
}

fn a_shutdown_ends_gracefully_and_lets_processes_finish(site: &Site) {
    let system = site.running("web");
    let mut process =
        run(&system, &script("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"));
    let stdout = process.pipes.stdout.take();
    let mut events = system.events();
    crate::process::await_line(stdout.as_ref().unwrap(), "ready\n");
    system.shut_down(None).wait().unwrap();
    assert_eq!(exit_code(&process), 3);
    assert_eq!(read_all(stdout), "bye\n");
    let status = system.wait_blocking().unwrap();
    assert_eq!(status.exit_type, Some(NotificationType::GracefulExit));
    let exit = status.attribution.as_ref().unwrap()[0].system_exit.clone().unwrap();
    assert_eq!(
        (exit.detail, exit.initiator),
        (Some(SystemExitDetail::Shutdown), Some(ExitInitiator::Client))
    );
    assert!(matches!(events.blocking_recv(), Some(Event::Exited(told)) if told == status));
    // Who asks later is told as well.
    assert!(matches!(system.events().blocking_recv(), Some(Event::Exited(told)) if told == status));
    refused(system.shut_down(None).wait(), Cause::SystemAlreadyStopped);
}

fn a_paused_container_stands_still_and_goes_on_after_a_resume(site: &Site) {
    let system = site.running("web");
    let mut process = run(&system, &script("while :; do echo x; sleep 0.01; done"));
    let stdout = process.pipes.stdout.take().unwrap();
    crate::process::await_line(&stdout, "x\n");
    refused(system.resume().wait(), Cause::InvalidState);
    system.pause(None).wait().unwrap();
    assert_eq!(system.properties(None).wait().unwrap().state, Some(State::Paused));
    // What it has said before may be on its way still.
    hcs_tests::until("it is silent", std::time::Duration::from_secs(10), || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        crate::process::drain(&stdout) == 0
    });
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(crate::process::drain(&stdout), 0, "a paused process has gone on");
    refused(system.pause(None).wait(), Cause::InvalidState);
    refused(system.start().wait(), Cause::InvalidState);
    refused(system.shut_down(None).wait(), Cause::InvalidState);
    refused(system.run(&command(&["true"])).wait(), Cause::InvalidState);
    system.resume().wait().unwrap();
    assert_eq!(system.properties(None).wait().unwrap().state, Some(State::Running));
    crate::process::await_line(&stdout, "x\n");
    // A paused system can be ended, too.
    system.pause(None).wait().unwrap();
    system.terminate().wait().unwrap();
    assert_eq!(exit_code(&process), 128 + 9);
}

fn a_created_container_refuses_what_needs_a_running_one(site: &Site) {
    let system = site.service.client().create("web", &site.document(|container| container)).wait().unwrap();
    refused(system.run(&command(&["true"])).wait(), Cause::InvalidState);
    refused(system.shut_down(None).wait(), Cause::InvalidState);
    refused(system.pause(None).wait(), Cause::InvalidState);
    refused(system.resume().wait(), Cause::InvalidState);
    system.terminate().wait().unwrap();
    assert_eq!(system.wait_blocking().unwrap().exit_type, Some(NotificationType::ForcedExit));
}

fn properties_tell_statistics_and_processes(site: &Site) {
    let system = site.running("web");
    let sleeper = run(&system, &command(&["sleep", "1000"]));
    let query = SystemPropertyQuery::default().property_types(vec![
        SystemPropertyType::Statistics,
        SystemPropertyType::ProcessList,
        SystemPropertyType::TerminateOnLastHandleClosed,
    ]);
    let properties = system.properties(Some(&query)).wait().unwrap();
    assert_eq!(properties.terminate_on_last_handle_closed, Some(true));
    let statistics = properties.statistics.unwrap();
    assert!(statistics.memory.unwrap().memory_usage_commit_bytes.unwrap() > 0);
    assert!(statistics.uptime_100ns.unwrap() > 0);
    let processes = properties.process_list.unwrap();
    let found = processes.iter().find(|process| process.process_id == Some(sleeper.id())).unwrap();
    assert_eq!(found.image_name.as_deref(), Some("sleep"));
    let unsupported =
        SystemPropertyQuery::default().property_types(vec![SystemPropertyType::GuestConnection]);
    let error = refused(system.properties(Some(&unsupported)).wait(), Cause::NotSupported);
    assert!(error.message.contains("$.PropertyTypes[0]"), "{error}");
    system.terminate().wait().unwrap();
}

fn the_limits_and_the_isolation_of_a_document_hold_inside(site: &Site) {
    let document = site.document(|container| {
        container
            .guest_os(hcs::schema::GuestOs::default().host_name("inner"))
            .memory(hcs::schema::ContainerMemory::default().size_in_mb(64u64))
    });
    let system = site.service.running_from("web", &document);
    assert_eq!(output(&system, "hostname"), "inner\n");
    // Its own processes, its own network, and no way to gain rights.
    assert_eq!(
        output(&system, "echo 1 > /dev/null; ls /proc/1/exe >/dev/null 2>&1; ps | wc -l | tr -d ' '")
            .lines()
            .count(),
        1
    );
    assert_eq!(output(&system, "ls /sys/class/net"), "lo\n");
    assert_eq!(output(&system, "grep NoNewPrivs /proc/self/status"), "NoNewPrivs:\t1\n");
    let mut hog = run(&system, &script("head -c 200000000 /dev/zero | tail -c 200000000 | wc -c"));
    let said = read_all(hog.pipes.stdout.take());
    assert_ne!(said.trim(), "200000000", "200 MB went through a container of 64 MiB");
    system.terminate().wait().unwrap();
}

#[test]
fn an_async_program_awaits_operations_and_exits() {
    let service = Service::start();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let client = service.client();
        let system = client.create("web", &service.document()).await.unwrap();
        system.start().await.unwrap();
        let many: Vec<_> = (0..8u32).map(|code| system.run(&script(&format!("exit {code}")))).collect();
        for (code, starting) in many.into_iter().enumerate() {
            let process = starting.await.unwrap();
            assert_eq!(process.wait().await.unwrap().exit_code, Some(code as u32));
        }
        system.terminate().await.unwrap();
        assert_eq!(system.wait().await.unwrap().exit_type, Some(NotificationType::ForcedExit));
    });
}

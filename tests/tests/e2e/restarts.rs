//! hcsd is killed while systems run: nothing is lost, and clients go on as if nothing had happened.

use std::time::Duration;

use hcs::{
    Cause,
    schema::{NotificationType, State},
};
use hcs_tests::{Service, processes};
use rustix::process::Signal;

use crate::{exit_code, output, read_all, refused, run, script, write_all};

/// In which a restarted service has adopted everything.
const PROMPT: Duration = Duration::from_secs(1);
const SYSTEMS: usize = 20;

#[test]
fn twenty_running_systems_are_adopted_within_a_second_and_handles_go_on() {
    let mut service = Service::start();
    let client = service.client();
    let systems: Vec<_> =
        (0..SYSTEMS).map(|number| service.running(&client, &format!("system-{number}"))).collect();
    let wait_for_line = |number: usize| script(&format!("read line; exit {number}")).create_std_in_pipe(true);
    let processes: Vec<_> =
        systems.iter().enumerate().map(|(number, system)| run(system, &wait_for_line(number))).collect();
    let end = |number: usize| write_all(processes[number].pipes.stdin.as_ref().unwrap(), "end\n");
    systems[0].pause(None).wait().unwrap();

    service.kill();
    // These end while nobody looks.
    (10..SYSTEMS).for_each(end);
    let took = service.restart();
    println!("{SYSTEMS} systems were adopted within {took:?}");
    assert!(took < PROMPT, "the restart took {took:?}");
    assert_eq!(service.client().list(None).wait().unwrap().len(), SYSTEMS);

    // The same handles of the same client, without opening anything.
    for (number, process) in processes.iter().enumerate().skip(10) {
        assert_eq!(exit_code(process), number as u32, "the exit code of a process that ended meanwhile");
    }
    assert_eq!(systems[0].properties(None).wait().unwrap().state, Some(State::Paused));
    systems[0].resume().wait().unwrap();
    for (number, system) in systems.iter().enumerate() {
        assert_eq!(output(system, "echo still here"), "still here\n");
        if number < 10 {
            end(number);
            assert_eq!(exit_code(&processes[number]), number as u32);
        }
    }
    for system in &systems {
        system.terminate().wait().unwrap();
        assert_eq!(system.wait_blocking().unwrap().exit_type, Some(NotificationType::ForcedExit));
    }
    assert!(service.leftovers().is_empty(), "left: {}", service.leftovers());
}

#[test]
fn a_system_that_ended_while_the_service_was_down_is_told_and_cleaned() {
    let mut service = Service::start();
    let client = service.client();
    let system = service.running(&client, "web");
    let process = run(&system, &script("sleep 1000"));
    let worker = service.worker(&system);
    service.kill();
    processes::signal(worker, Signal::KILL);
    service.restart();
    assert_eq!(system.wait_blocking().unwrap().exit_type, Some(NotificationType::UnexpectedExit));
    assert_eq!(exit_code(&process), 128 + 9);
    refused(client.open("web").wait(), Cause::SystemNotFound);
    service.await_nothing_left();
}

#[test]
fn output_flows_on_while_the_service_is_down() {
    let mut service = Service::start();
    let client = service.client();
    let system = service.running(&client, "web");
    let mut process =
        run(&system, &script("while read line; do echo \"$line\"; done").create_std_in_pipe(true));
    let stdin = process.pipes.stdin.take().unwrap();
    let stdout = process.pipes.stdout.take();
    service.kill();
    write_all(&stdin, "spoken into the void\n");
    crate::process::await_line(stdout.as_ref().unwrap(), "spoken into the void\n");
    drop(stdin);
    assert_eq!(read_all(stdout), "");
    service.restart();
    assert_eq!(exit_code(&process), 0);
}

#[test]
fn calls_that_are_made_while_the_service_is_away_wait_for_it() {
    let mut service = Service::start();
    let client = service.client();
    let system = service.running(&client, "web");
    service.kill();
    let properties = system.properties(None);
    let listed = client.list(None);
    std::thread::sleep(Duration::from_millis(200));
    service.restart();
    assert_eq!(properties.wait().unwrap().state, Some(State::Running));
    assert_eq!(listed.wait().unwrap().len(), 1);
}

#[test]
fn three_deaths_in_a_row_lose_nothing() {
    let mut service = Service::start();
    let client = service.client();
    let system = service.running(&client, "web");
    let process = run(&system, &script("read line; exit 6").create_std_in_pipe(true));
    for round in 0..3 {
        service.kill();
        service.restart();
        assert_eq!(output(&system, &format!("echo {round}")), format!("{round}\n"));
    }
    write_all(process.pipes.stdin.as_ref().unwrap(), "end\n");
    assert_eq!(exit_code(&process), 6);
}

#[test]
fn a_service_that_stays_away_is_told_to_the_client_after_ten_seconds() {
    let mut service = Service::start();
    let client = service.client();
    let system = client.create("web", &service.lasting_document()).wait().unwrap();
    service.kill();
    let began = std::time::Instant::now();
    refused(system.wait_blocking(), Cause::ServiceDisconnect);
    let took = began.elapsed();
    assert!((9..13).contains(&took.as_secs()), "the client waited for {took:?}");
    refused(client.list(None).wait(), Cause::ServiceDisconnect);
    assert!(client.link().is_lost());
    service.restart();
    service.client().open("web").wait().unwrap().terminate().wait().unwrap();
}

#[test]
fn a_second_service_is_refused_and_the_first_goes_on() {
    let service = Service::start();
    let system = service.running(&service.client(), "web");
    for more in [vec![], vec!["--socket".to_owned(), service.root().join("other.sock").display().to_string()]]
    {
        let second = service.another(&more);
        let said = String::from_utf8_lossy(&second.stderr);
        assert!(!second.status.success() && said.contains("another service"), "{more:?}: {said}");
        assert_eq!(output(&system, "echo still here"), "still here\n");
    }
    system.terminate().wait().unwrap();
    service.await_nothing_left();
}

#[test]
fn a_worker_that_is_busy_when_the_service_comes_back_is_adopted_when_it_is_not() {
    let mut service = Service::start();
    let client = service.client();
    let (busy, stuck) = (service.running(&client, "busy"), service.running(&client, "stuck"));
    let workers = [service.worker(&busy), service.worker(&stuck)];
    for worker in workers {
        processes::signal(worker, Signal::STOP);
    }
    service.kill();
    service.restart();
    // Nobody waits for ever, and nothing is done to it.
    let error = refused(busy.pause(None).wait(), Cause::DeadlineExceeded);
    assert!(error.message.contains("busy"), "{error}");
    stuck.terminate().wait().unwrap();
    assert_eq!(stuck.wait_blocking().unwrap().exit_type, Some(NotificationType::ForcedExit));
    processes::signal(workers[0], Signal::CONT);
    hcs_tests::until("the worker is adopted", Duration::from_secs(10), || busy.pause(None).wait().is_ok());
    busy.resume().wait().unwrap();
    assert_eq!(output(&busy, "echo still here"), "still here\n");
    busy.terminate().wait().unwrap();
    service.await_nothing_left();
}

#[test]
fn processes_are_claimed_before_their_workers_answer_and_tell_what_became_of_them() {
    let mut service = Service::start();
    let client = service.client();
    let (lives, dies) = (service.running(&client, "lives"), service.running(&client, "dies"));
    let claimed = [run(&lives, &script("sleep 1000")), run(&dies, &script("sleep 1000"))];
    let workers = [service.worker(&lives), service.worker(&dies)];
    for worker in workers {
        processes::signal(worker, Signal::STOP);
    }
    service.kill();
    service.restart();
    // What is answered is answered by the one that the client has come back to.
    assert_eq!(client.list(None).wait().unwrap().len(), 2);
    processes::signal(workers[1], Signal::KILL);
    assert_eq!(exit_code(&claimed[1]), 128 + 9);
    processes::signal(workers[0], Signal::CONT);
    claimed[0].kill().wait().unwrap();
    assert_eq!(exit_code(&claimed[0]), 128 + 9);
    lives.terminate().wait().unwrap();
    service.await_nothing_left();
}

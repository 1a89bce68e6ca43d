//! A hundred lives leave nothing: no descriptor, no mount, no cgroup, no process.

use hcs_tests::{Service, processes};

use crate::{exit_code, output, refused, run, script};

fn lifecycle(service: &Service, number: usize) {
    let client = service.client();
    let system = client.create(&format!("system-{number}"), &service.document()).wait().unwrap();
    system.start().wait().unwrap();
    let process = run(&system, &script("cat; exit 2").create_std_in_pipe(true));
    process.close_stdin().wait().unwrap();
    assert_eq!(exit_code(&process), 2);
    match number % 4 {
        0 => system.terminate().wait().unwrap(),
        1 => system.shut_down(None).wait().unwrap(),
        // A failure of each kind has its own ways to leave something behind.
        2 => drop(refused(system.run(&script("x").user("nobody-here")).wait(), hcs::Cause::NotFound)),
        _ => drop(run(&system, &script("sleep 1000"))),
    }
    if number % 4 < 2 {
        system.wait_blocking().unwrap();
    }
}

#[test]
fn a_hundred_lifecycles_leave_exactly_nothing() {
    let service = Service::start();
    // What is made once and kept is there after the first.
    (0..4).for_each(|number| lifecycle(&service, number));
    service.await_nothing_left();
    service.await_no_clients();
    let before = service.settled_files();
    let began = std::time::Instant::now();
    (0..100).for_each(|number| lifecycle(&service, number));
    println!("a hundred lifecycles took {:?}", began.elapsed());
    service.await_nothing_left();
    service.await_no_clients();
    assert_eq!(service.settled_files(), before, "open descriptors of the service");
}

#[test]
fn a_hundred_processes_leave_their_container_as_it_was() {
    let service = Service::start();
    let system = service.client().create("web", &service.lasting_document()).wait().unwrap();
    let worker = service.worker(&system);
    system.start().wait().unwrap();
    output(&system, "true");
    // Without a client, so that no connection is counted.
    drop(system);
    let open = || {
        service.await_no_clients();
        (service.settled_files(), processes::settled_files(worker))
    };
    let before = open();
    let system = service.client().open("web").wait().unwrap();
    let began = std::time::Instant::now();
    for _ in 0..100 {
        output(&system, "true");
    }
    println!("a process takes {:?}", began.elapsed() / 100);
    drop(system);
    assert_eq!(open(), before, "open descriptors of the service and of the worker");
    service.client().open("web").wait().unwrap().terminate().wait().unwrap();
}

#[test]
fn sixty_four_lifecycles_at_once_succeed() {
    let service = Service::start();
    let client = service.client();
    let document = service.document();
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for number in 0..64 {
            let (client, document) = (&client, &document);
            scope.spawn(move || {
                let system = client.create(&format!("at-once-{number}"), document).wait().unwrap();
                system.start().wait().unwrap();
                assert_eq!(output(&system, "echo alive"), "alive\n");
                system.terminate().wait().unwrap();
                system.wait_blocking().unwrap();
            });
        }
    });
    println!("sixty-four lifecycles at once took {:?}", began.elapsed());
    service.await_nothing_left();
}

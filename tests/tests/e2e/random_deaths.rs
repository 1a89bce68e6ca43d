//! Lives that are cut off at random points: by the death of the worker, of init, of the client, of the service.
//! Whatever dies and whenever, afterwards exactly as much is left as before: nothing.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use hcs::{Client, link::Options, schema::ComputeSystem};
use hcs_tests::{Service, processes, random::Random};

use crate::script;

/// Lives at a time.
const AT_ONCE: usize = 8;
/// A life takes less; later deaths find nothing to do.
const LATEST_DEATH_MICROSECONDS: u64 = 25_000;
/// One batch in so many sees the service die.
const SERVICE_DIES: u64 = 6;

/// What is cut off.
#[derive(Clone, Copy, Debug)]
enum Death {
    None,
    Worker,
    Init,
    Client,
}

/// A life as far as it gets. What fails, fails because something has died, and is no matter here.
fn live(
    socket: &Path,
    id: &str,
    document: &ComputeSystem,
    only_until: Option<Duration>,
) -> Result<(), hcs::Error> {
    let began = Instant::now();
    let cut = || only_until.is_some_and(|limit| began.elapsed() > limit);
    let client = Client::connect_to(Options { socket: socket.to_owned() })?;
    let system = client.create(id, document).wait()?;
    if cut() {
        return Ok(());
    }
    system.start().wait()?;
    if cut() {
        return Ok(());
    }
    let process = system.run(&script("echo x; sleep 0.002")).wait()?;
    if cut() {
        return Ok(());
    }
    process.wait_blocking()?;
    system.terminate().wait()?;
    system.wait_blocking()?;
    Ok(())
}

/// Kills the worker or the init of whichever system it meets.
fn strike(root: &Path, death: Death, choice: usize) {
    // The service itself holds a worker's socket for the moment in which it starts the worker.
    let is_worker = |pid: &u32| processes::read(*pid, "comm").trim() == "hcs-worker";
    let workers: Vec<u32> =
        processes::listening_below(&root.join("run/systems")).into_iter().filter(is_worker).collect();
    let Some(worker) = workers.get(choice % workers.len().max(1)).copied() else { return };
    match death {
        Death::None | Death::Client => {}
        Death::Worker => processes::kill_if_there(worker),
        Death::Init => processes::children(worker).into_iter().for_each(processes::kill_if_there),
    }
}

fn lives_and_deaths(lives: usize) {
    let mut service = Service::start();
    let mut random = Random::new();
    println!("{random}");
    let document = service.document();
    live(&service.socket(), "first", &document, None).expect("a life that nothing disturbs");
    let mut whole = 0;
    for batch in 0..lives / AT_ONCE {
        let (socket, root) = (service.socket(), service.root().to_owned());
        let service_dies = random.below(SERVICE_DIES) == 0;
        let moment = |random: &mut Random| Duration::from_micros(random.below(LATEST_DEATH_MICROSECONDS));
        let plans: Vec<(String, Death, Duration, usize)> = (0..AT_ONCE)
            .map(|number| {
                let death = match random.below(4) {
                    0 => Death::Worker,
                    1 => Death::Init,
                    2 => Death::Client,
                    _ => Death::None,
                };
                let choice = random.below(AT_ONCE as u64) as usize;
                (format!("life-{batch}-{number}"), death, moment(&mut random), choice)
            })
            .collect();
        let death_of_service = moment(&mut random);
        whole += thread::scope(|scope| {
            let lives: Vec<_> = plans
                .iter()
                .map(|(id, death, moment, choice)| {
                    let (socket, root, document) = (&socket, &root, &document);
                    scope.spawn(move || {
                        let cut = matches!(death, Death::Client).then_some(*moment);
                        thread::scope(|inner| {
                            inner.spawn(move || {
                                thread::sleep(*moment);
                                strike(root, *death, *choice);
                            });
                            live(socket, id, document, cut).is_ok()
                        })
                    })
                })
                .collect();
            if service_dies {
                thread::sleep(death_of_service);
                service.kill();
                service.restart();
            }
            lives.into_iter().map(|life| life.join().expect("a life")).filter(|whole| *whole).count()
        });
    }
    service.await_nothing_left();
    service.await_no_clients();
    let open = service.settled_files();
    service.kill();
    service.restart();
    // A service that has seen nothing has as many.
    assert_eq!(open, service.settled_files(), "open descriptors of the service");
    println!("of {lives} lives {whole} were whole");
    assert!(whole > lives / 4, "hardly any life was whole: {whole} of {lives}");
}

#[test]
fn a_hundred_lives_cut_off_at_random_leave_exactly_nothing() {
    lives_and_deaths(96);
}

#[test]
#[ignore = "long: a thousand lives"]
fn a_thousand_lives_cut_off_at_random_leave_exactly_nothing() {
    lives_and_deaths(1000);
}

//! Many clients and many systems, clients that behave badly, and a long time: what a well-behaved client notices of it.
//!
//! Times are compared with what they were in the same run, in turns, as medians: this machine does other things too.

mod disturbances;
mod soak;

use std::{
    thread,
    time::{Duration, Instant},
};

use hcs::{Client, System};
use hcs_tests::{Service, processes};

/// How much longer than alone a call may take while others misbehave.
const AT_MOST: f64 = 2.0;

/// A client that behaves well, and how long what it asks for takes.
struct Probe {
    client: Client,
    document: hcs::schema::ComputeSystem,
    number: u32,
}

/// What it has seen.
#[derive(Default)]
struct Times {
    calls: Vec<Duration>,
    lives: Vec<Duration>,
}

impl Probe {
    fn of(service: &Service) -> Probe {
        Probe { client: service.client(), document: service.document(), number: 0 }
    }

    /// A call that does nothing.
    fn call(&self) -> Duration {
        let began = Instant::now();
        self.client.operations().wait().unwrap();
        began.elapsed()
    }

    /// The life of a container.
    fn life(&mut self) -> Duration {
        self.number += 1;
        let id = format!("probe-{}", self.number);
        let began = Instant::now();
        let system = self.client.create(&id, &self.document).wait().unwrap();
        system.start().wait().unwrap();
        system.terminate().wait().unwrap();
        system.wait_blocking().unwrap();
        began.elapsed()
    }

    /// Some of both.
    fn look(&mut self, into: &mut Times) {
        into.calls.extend((0..40).map(|_| self.call()));
        into.lives.extend((0..4).map(|_| self.life()));
    }
}

/// The time that this part of all times does not exceed.
fn percentile(times: &[Duration], part: f64) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

fn median(times: &[Duration]) -> Duration {
    percentile(times, 0.5)
}

/// Measures in turns without and with something that goes on, which `begin` begins and whose result ends it when dropped.
fn is_not_slowed_by<T>(what: &str, service: &Service, mut begin: impl FnMut() -> T) {
    const TURNS: usize = 6;
    let mut probe = Probe::of(service);
    let (mut alone, mut beside) = (Times::default(), Times::default());
    probe.look(&mut Times::default());
    for _ in 0..TURNS {
        probe.look(&mut alone);
        let going_on = begin();
        probe.look(&mut beside);
        drop(going_on);
    }
    for (name, alone, beside) in
        [("call", &alone.calls, &beside.calls), ("life", &alone.lives, &beside.lives)]
    {
        let (before, after) = (median(alone), median(beside));
        let ratio = after.as_secs_f64() / before.as_secs_f64();
        println!("{what}: a {name} takes {before:?} alone and {after:?} beside it, {ratio:.2} times as long");
        assert!(ratio <= AT_MOST, "{what}: a {name} takes {after:?} instead of {before:?}");
    }
}

/// How many systems there are at a time, and of how many clients.
const SYSTEMS: usize = 500;
const CLIENTS: usize = 64;

#[test]
fn five_hundred_systems_of_sixty_four_clients_are_made_used_and_ended_and_a_call_takes_as_long_as_before() {
    const PATIENCE: Duration = Duration::from_secs(180);
    /// What hcsd may need for a system, in KiB.
    const MEMORY: u64 = 64;
    let mut service = Service::start();
    service.be_patient_for(PATIENCE);
    let probe = Probe::of(&service);
    let calls = |probe: &Probe| {
        /// All calls of one take a few milliseconds, and so may something else that this machine does.
        const MEDIANS: usize = 5;
        let _near = processes::OnOneProcessor::with(service.pid());
        let one = |_| median(&(0..200).map(|_| probe.call()).collect::<Vec<_>>());
        (0..MEDIANS).map(one).min().unwrap()
    };
    let (before, memory, files) = (calls(&probe), processes::memory(service.pid()), service.settled_files());
    let began = Instant::now();
    let of_clients: Vec<(Client, Vec<System>)> = thread::scope(|scope| {
        let make = |number: usize| {
            let service = &service;
            scope.spawn(move || {
                let client = service.client();
                let own = (0..SYSTEMS).filter(|system| system % CLIENTS == number);
                let systems = own.map(|system| service.running(&client, &format!("of-{number}-{system}")));
                let systems: Vec<System> = systems.collect();
                for system in &systems {
                    assert_eq!(crate::output(system, "echo $((6 * 7))"), "42\n");
                }
                (client, systems)
            })
        };
        let making: Vec<_> = (0..CLIENTS).map(make).collect();
        making.into_iter().map(|client| client.join().unwrap()).collect()
    });
    println!("made and used in {:?}", began.elapsed());
    assert_eq!(probe.client.list(None).wait().unwrap().len(), SYSTEMS);
    let (after, grown) = (calls(&probe), processes::memory(service.pid()) - memory);
    println!(
        "a call takes {before:?} before and {after:?} now; hcsd has {} KiB a system",
        grown / SYSTEMS as u64
    );
    assert!(after <= before.mul_f64(AT_MOST), "a call takes {after:?} instead of {before:?}");
    assert!(grown / SYSTEMS as u64 <= MEMORY, "hcsd has {grown} KiB more");
    // Half of them are ended one by one, by all at once; the others go with their clients.
    let began = Instant::now();
    thread::scope(|scope| {
        for (_, systems) in &of_clients[..CLIENTS / 2] {
            scope.spawn(move || systems.iter().for_each(|system| system.terminate().wait().unwrap()));
        }
    });
    drop(of_clients);
    service.await_nothing_left();
    println!("ended in {:?}", began.elapsed());
    let left = service.settled_files();
    assert!(left <= files, "{left} descriptors are open, and {files} were before");
}

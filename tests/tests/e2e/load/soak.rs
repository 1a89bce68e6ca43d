//! A long time of lives, calls and garbage: at its end memory, descriptors and times are what they were at its begin.
//!
//! `HCS_SOAK_SECONDS` says how long the long one takes.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hcs_tests::{Service, processes};

use super::{Probe, percentile};

const HOUR: Duration = Duration::from_secs(3600);
/// The part of the time that comes before what is compared: what is needed once is taken then.
const WARM_UP: f64 = 0.1;
/// Who makes containers, all at once.
const CLIENTS: u32 = 4;
/// How often is looked, and a call timed.
const LOOKS_PER_SECOND: u32 = 20;

/// What may have become of the first third in the last one: memory in KiB, beside a part of it, and descriptors.
const MORE_MEMORY: u64 = 256;
const MEMORY_FACTOR: f64 = 1.05;
const MORE_FILES: usize = 4;

/// How much longer calls may take in the last third than in the first.
struct Factors {
    median: f64,
    /// Of few calls the slowest hundredth is one that something else has slowed, and says nothing.
    p99: Option<f64>,
}

/// Somebody who sends back what he gets and does nothing else: how long that takes says how busy the machine is.
struct Echo(UnixStream);

impl Echo {
    fn start() -> Echo {
        let (near, mut far) = UnixStream::pair().unwrap();
        // It ends with the other end.
        thread::spawn(move || {
            let mut said = [0];
            while far.read_exact(&mut said).and_then(|()| far.write_all(&said)).is_ok() {}
        });
        Echo(near)
    }

    fn call(&self) -> Duration {
        let began = Instant::now();
        (&self.0).write_all(&[0]).unwrap();
        (&self.0).read_exact(&mut [0]).unwrap();
        began.elapsed()
    }
}

/// What is seen at a moment.
#[derive(Clone, Copy)]
struct Look {
    memory: u64,
    own_memory: u64,
    files: usize,
    call: Duration,
    echo: Duration,
}

/// What a third of the looks says.
#[derive(Debug)]
struct Third {
    memory: u64,
    own_memory: u64,
    files: usize,
    calls: Times,
    echoes: Times,
}

#[derive(Debug)]
struct Times {
    median: Duration,
    p99: Duration,
}

impl Times {
    fn of(looks: &[Look], of: impl Fn(&Look) -> Duration) -> Times {
        let all: Vec<Duration> = looks.iter().map(of).collect();
        Times { median: percentile(&all, 0.5), p99: percentile(&all, 0.99) }
    }
}

impl Third {
    fn of(looks: &[Look]) -> Third {
        fn middle<T: Ord + Copy>(looks: &[Look], of: impl Fn(&Look) -> T) -> T {
            let mut all: Vec<T> = looks.iter().map(of).collect();
            all.sort_unstable();
            all[all.len() / 2]
        }
        Third {
            memory: middle(looks, |look| look.memory),
            own_memory: middle(looks, |look| look.own_memory),
            files: middle(looks, |look| look.files),
            calls: Times::of(looks, |look| look.call),
            echoes: Times::of(looks, |look| look.echo),
        }
    }
}

fn soak(time: Duration, at_most: &Factors) {
    let mut service = Service::start();
    service.be_patient_for(time);
    let (over, lives) = (AtomicBool::new(false), AtomicU64::new(0));
    let looks = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (service, over, lives) = (&service, &over, &lives);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    // A new client every so often, which takes its last container with it.
                    let client = service.client();
                    for life in 0..20 {
                        let system = service.running(&client, &format!("of-{number}-{life}"));
                        assert_eq!(crate::output(&system, "echo $((6 * 7))"), "42\n");
                        if life % 2 == 0 {
                            system.terminate().wait().unwrap();
                        } else {
                            system.shut_down(None).wait().unwrap();
                        }
                        system.wait_blocking().unwrap();
                        lives.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let (service, over, looks) = (&service, &over, &looks);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let mut stream = UnixStream::connect(service.socket()).unwrap();
                // It may be hung up on before all is said.
                let _ = stream.write_all(b"nonsense\0nonsense");
                thread::sleep(Duration::from_millis(20));
            }
        });
        scope.spawn(move || {
            let (probe, echo, began) = (Probe::of(service), Echo::start(), Instant::now());
            let look = || Look {
                call: probe.call(),
                echo: echo.call(),
                memory: processes::memory(service.pid()),
                own_memory: processes::memory(std::process::id()),
                files: processes::open_files(service.pid()),
            };
            // There from the beginning, so that what is remembered is not taken for what has grown.
            let mut seen = vec![look(); (time * LOOKS_PER_SECOND).as_secs() as usize];
            thread::sleep(time.mul_f64(WARM_UP));
            let mut count = 0;
            for place in seen.iter_mut().take_while(|_| began.elapsed() < time) {
                *place = look();
                count += 1;
                thread::sleep(Duration::from_secs(1) / LOOKS_PER_SECOND);
            }
            seen.truncate(count);
            *looks.lock().unwrap() = seen;
            over.store(true, Ordering::Relaxed);
        });
    });
    let looks = looks.into_inner().unwrap();
    let size = looks.len() / 3;
    let (first, last) = (Third::of(&looks[..size]), Third::of(&looks[looks.len() - size..]));
    println!("{} lives in {time:?}; the first third {first:?}, the last {last:?}", lives.into_inner());
    let memory = |first: u64| (first as f64 * MEMORY_FACTOR) as u64 + MORE_MEMORY;
    assert!(last.memory <= memory(first.memory), "hcsd grows: {first:?}, {last:?}");
    assert!(last.own_memory <= memory(first.own_memory), "a client grows: {first:?}, {last:?}");
    assert!(last.files <= first.files + MORE_FILES, "descriptors: {first:?}, {last:?}");
    // The machine may have more to do than before, and then an echo takes longer as well.
    let slower = |of: fn(&Times) -> Duration| {
        let times = |last: &Times, first: &Times| of(last).as_secs_f64() / of(first).as_secs_f64();
        times(&last.calls, &first.calls) / times(&last.echoes, &first.echoes).max(1.0)
    };
    assert!(slower(|times| times.median) <= at_most.median, "calls get slower: {first:?}, {last:?}");
    if let Some(at_most) = at_most.p99 {
        assert!(slower(|times| times.p99) <= at_most, "some calls get slower: {first:?}, {last:?}");
    }
    service.await_nothing_left();
}

#[test]
fn after_some_seconds_of_lives_nothing_has_grown() {
    // Four clients take all that the machine has, so that the median of some hundred calls is a matter of luck as well.
    soak(Duration::from_secs(12), &Factors { median: 4.0, p99: None });
}

#[test]
#[ignore = "long: an hour of lives"]
fn after_an_hour_of_lives_nothing_has_grown() {
    let seconds = std::env::var("HCS_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    soak(seconds.map_or(HOUR, Duration::from_secs), &Factors { median: 1.5, p99: Some(2.0) });
}

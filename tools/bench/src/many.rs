//! Many containers that do nothing: how long the last takes to be made, what they weigh, how long listing them takes.

use std::{fs, time::Instant};

use hcs::{Client, System, link::Options, schema::Any};

use crate::{
    Outcome, bundle,
    figures::{Figures, heading},
    service::Service,
    usage,
};

/// How many of the first and of the last are compared.
const COMPARED: usize = 20;

/// Measures with so many containers.
pub fn measure(count: usize) -> Outcome {
    let service = Service::start()?;
    let root_fs = service.folder().join("rootfs");
    bundle::root_fs(&root_fs)?;
    let client = Client::connect_to(Options { socket: service.socket() })?;
    let document = Any::from_text(format!(
        r#"{{"Owner":"bench","SchemaVersion":{{"Major":2,"Minor":1}},"Container":{{"Storage":{{"Path":{root_fs:?}}}}}}}"#
    ))?;
    let (mut first, mut last, mut systems) = (Figures::default(), Figures::default(), Vec::<System>::new());
    let began = Instant::now();
    for number in 0..count {
        let one = Instant::now();
        let system = client.create_from(&format!("idle-{number}"), document.clone(), false).wait()?;
        system.start().wait()?;
        if number < COMPARED {
            first.add(one.elapsed());
        } else if number + COMPARED >= count {
            last.add(one.elapsed());
        }
        systems.push(system);
    }
    let all = began.elapsed();
    let mut listing = Figures::default();
    for _ in 0..COMPARED {
        let listed = listing.time(|| client.list(None).wait())?;
        if listed.len() != count {
            return Err(format!("{} of {count} containers are listed", listed.len()).into());
        }
    }
    println!("{}", heading());
    println!("{}", first.line(&format!("creating and starting one of the first {COMPARED}")));
    println!("{}", last.line(&format!("creating and starting one of the last {COMPARED} of {count}")));
    println!("{}", listing.line(&format!("listing {count}")));
    println!("all were made in {:.1} s", all.as_secs_f64());
    weigh(service.pid(), count)?;
    for system in &systems {
        system.terminate().wait()?;
    }
    Ok(())
}

/// Tells the proportional memory of the service, its workers and their inits.
fn weigh(service: u32, count: usize) -> Outcome {
    let workers = usage::children(service);
    let inits: Vec<u32> = workers.iter().flat_map(|worker| usage::children(*worker)).collect();
    let sum = |pids: &[u32]| pids.iter().map(|pid| proportional_kib(*pid)).sum::<Outcome<u64>>();
    let (of_workers, of_inits, of_service) = (sum(&workers)?, sum(&inits)?, proportional_kib(service)?);
    println!(
        "a container weighs {:.0} KiB: its worker {:.0}, its init {:.0}; the service {:.0} and {:.1} for each",
        (of_workers + of_inits) as f64 / count as f64,
        of_workers as f64 / workers.len() as f64,
        of_inits as f64 / inits.len() as f64,
        of_service,
        of_service as f64 / count as f64,
    );
    Ok(())
}

/// A process's memory, with what is shared divided among those who share it.
fn proportional_kib(pid: u32) -> Outcome<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find(|line| line.starts_with("Pss:")).ok_or("no Pss")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}

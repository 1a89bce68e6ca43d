//! What a container costs that does nothing: the memory of its worker and its first process.

use std::{thread, time::Duration};

use hcs::schema::Any;

use crate::{Outcome, bundle, service::Service, usage};

const CONTAINERS: usize = 50;
/// Of worker and first process together.
const AT_MOST_KIB: u64 = 400;

/// Measures.
pub fn measure() -> Outcome {
    let service = Service::start()?;
    bundle::root_fs(&service.folder().join("rootfs"))?;
    let (client, document) = (service.client()?, Any::from_text(service.document())?);
    let before = usage::proportional_kib(service.pid()).ok_or("no smaps_rollup")?;
    let mut systems = Vec::new();
    for number in 0..CONTAINERS {
        let system = client.create_from(&format!("idle-{number}"), document.clone(), false).wait()?;
        system.start().wait()?;
        systems.push(system);
    }
    // What is made ready for the next one is none of theirs.
    thread::sleep(Duration::from_millis(200));
    let workers = service.workers();
    if workers.len() != CONTAINERS {
        return Err(format!("{CONTAINERS} containers have {} workers", workers.len()).into());
    }
    let memory = |pid: u32| usage::proportional_kib(pid).ok_or("a process has gone");
    let (mut of_workers, mut of_inits) = (0, 0);
    for worker in &workers {
        of_workers += memory(*worker)?;
        of_inits += memory(usage::children(*worker)[0])?;
    }
    let each = |sum: u64| sum / CONTAINERS as u64;
    let service_each = each(memory(service.pid())?.saturating_sub(before));
    let sum = each(of_workers + of_inits);
    println!("{CONTAINERS} idle containers, KiB of each (PSS)");
    println!(
        "worker {}, init {}, together {sum} (promised: {AT_MOST_KIB})",
        each(of_workers),
        each(of_inits)
    );
    println!("hcsd: {before} without containers, and {service_each} for each");
    for system in systems {
        system.terminate().wait()?;
    }
    if sum > AT_MOST_KIB { Err("the promise is not kept".into()) } else { Ok(()) }
}

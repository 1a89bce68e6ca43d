//! What a container costs that does nothing: the memory of its worker and its first process.

use std::{thread, time::Duration};

use hcs::schema::Any;

use crate::{
    Outcome, bundle,
    figures::{Bytes, Figure},
    report::Report,
    service::Service,
    usage,
};

const CONTAINERS: usize = 50;

/// Measures.
pub fn measure(report: &mut Report) -> Outcome {
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
    let of_service = memory(service.pid())?.saturating_sub(before);
    let each = |sum: u64| Bytes((sum << 10) / CONTAINERS as u64);
    let together = Figure::new("an idle container: worker and first process", each(of_workers + of_inits));
    report.note(together.promised("idle-container")?);
    report.note(Figure::new("the worker of it alone", each(of_workers)));
    report.note(Figure::new("hcsd for each idle container", each(of_service)));
    for system in systems {
        system.terminate().wait()?;
    }
    Ok(())
}

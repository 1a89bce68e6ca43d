//! Many containers at once: does the five-hundredth cost more than the first, how long does a list take, and what does the service
//! need for them?

use hcs::schema::Any;

use crate::{
    Outcome, bundle,
    figures::{Bytes, Figure},
    report::Report,
    samples::Samples,
    service::Service,
    usage,
};

const COUNT: usize = 500;
/// One alone says little on a machine that does other things too: the first so many against the last.
const COMPARED: usize = 25;
const LISTS: usize = 50;

/// Measures twice. The first time the kernel takes the memory for their namespaces from what is free, and the first few get what
/// others have left: that compares memory, not containers. The second time counts.
pub fn measure(report: &mut Report) -> Outcome {
    let service = Service::start()?;
    bundle::root_fs(&service.folder().join("rootfs"))?;
    let cold = pass(&service)?;
    report.note(
        Figure::new(
            format!("create and start, the last {COMPARED} of {COUNT}, in memory nobody had"),
            &cold.last,
        )
        .beside(format!("the first {COMPARED}"), &cold.first),
    );
    let warm = pass(&service)?;
    report.note(
        Figure::new(format!("create and start, the last {COMPARED} of {COUNT}"), &warm.last)
            .beside(format!("the first {COMPARED}"), &warm.first)
            .promised("many-last")?,
    );
    report.note(Figure::new(format!("a list of {COUNT}"), &warm.lists).promised("many-list")?);
    report.note(Figure::new(format!("terminate, {COUNT} one after the other"), &warm.ends));
    report.note(Figure::new(format!("hcsd with {COUNT} containers"), warm.memory));
    Ok(())
}

struct Pass {
    first: Samples,
    last: Samples,
    lists: Samples,
    ends: Samples,
    memory: Bytes,
}

/// Makes them all, lists them, and ends them.
fn pass(service: &Service) -> Outcome<Pass> {
    let (client, document) = (service.client()?, Any::from_text(service.document())?);
    let [mut first, mut rest, mut last, mut lists, mut ends]: [Samples; 5] = Default::default();
    let mut systems = Vec::new();
    for number in 0..COUNT {
        let samples = match number {
            _ if number < COMPARED => &mut first,
            _ if number >= COUNT - COMPARED => &mut last,
            _ => &mut rest,
        };
        let id = format!("many-{number}");
        let made = samples.time(|| -> Outcome<_> {
            let system = client.create_from(&id, document.clone(), false).wait()?;
            system.start().wait()?;
            Ok(system)
        });
        systems.push(made?);
    }
    for _ in 0..LISTS {
        let listed = lists.time(|| client.list(None).wait())?;
        if listed.len() != COUNT {
            return Err(format!("{} of {COUNT} are listed", listed.len()).into());
        }
    }
    let memory = Bytes(usage::proportional_kib(service.pid()).ok_or("the service has gone")? << 10);
    for system in systems {
        ends.time(|| system.terminate().wait())?;
    }
    Ok(Pass { first, last, lists, ends, memory })
}

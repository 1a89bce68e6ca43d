//! Many containers at once: does the five-hundredth cost more than the first, and how long does a list take?

use hcs::schema::Any;

use crate::{
    Outcome, bundle,
    figures::{Figures, heading},
    service::Service,
};

/// One alone says little on a machine that does other things too: the first so many against the last.
const COMPARED: usize = 25;
const LISTS: usize = 50;
/// The last over the first.
const AT_MOST: f64 = 1.5;
const LIST_AT_MOST_MILLISECONDS: f64 = 10.0;

/// Measures with so many containers.
pub fn measure(count: usize) -> Outcome {
    let service = Service::start()?;
    bundle::root_fs(&service.folder().join("rootfs"))?;
    let (client, document) = (service.client()?, Any::from_text(service.document())?);
    // What is done once in the life of a service is no part of the first.
    let warm = client.create_from("warm", document.clone(), false).wait()?;
    warm.start().wait()?;
    warm.terminate().wait()?;
    let (mut first, mut last, mut lists) = (Figures::default(), Figures::default(), Figures::default());
    let (mut rest, mut systems) = (Figures::default(), Vec::new());
    for number in 0..count {
        let figures = match number {
            _ if number < COMPARED => &mut first,
            _ if number >= count - COMPARED => &mut last,
            _ => &mut rest,
        };
        let id = format!("many-{number}");
        let made = figures.time(|| -> Outcome<_> {
            let system = client.create_from(&id, document.clone(), false).wait()?;
            system.start().wait()?;
            Ok(system)
        });
        systems.push(made?);
    }
    for _ in 0..LISTS {
        let listed = lists.time(|| client.list(None).wait())?;
        if listed.len() != count {
            return Err(format!("{} of {count} are listed", listed.len()).into());
        }
    }
    let mut ends = Figures::default();
    for system in systems {
        ends.time(|| system.terminate().wait())?;
    }
    println!("{}", heading());
    println!("{}", first.line(&format!("create and start, the first {COMPARED} of {count}")));
    println!("{}", last.line(&format!("create and start, the last {COMPARED} of {count}")));
    println!("{}", lists.line(&format!("list {count}")));
    println!("{}", ends.line("terminate"));
    let ratio = last.percentile(0.5).as_secs_f64() / first.percentile(0.5).as_secs_f64();
    let list = lists.percentile(0.5).as_secs_f64() * 1e3;
    println!("last over first {ratio:.2} (promised: {AT_MOST})");
    println!("a list takes {list:.2} ms (promised: {LIST_AT_MOST_MILLISECONDS})");
    if ratio > AT_MOST || list > LIST_AT_MOST_MILLISECONDS {
        return Err("a promise is not kept".into());
    }
    Ok(())
}

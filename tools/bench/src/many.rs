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

/// Measures with so many containers, twice. The first time the kernel takes the memory for their namespaces from what is
/// free, and the first few get what others have left: that compares memory, not containers. The second time counts.
pub fn measure(count: usize) -> Outcome {
    let service = Service::start()?;
    bundle::root_fs(&service.folder().join("rootfs"))?;
    println!("{}", heading());
    let cold = pass(&service, count)?;
    println!("last over first {:.2}, with memory that nobody had before", cold.last_over_first());
    let warm = pass(&service, count)?;
    let (ratio, list) = (warm.last_over_first(), warm.lists.percentile(0.5).as_secs_f64() * 1e3);
    println!("last over first {ratio:.2} (promised: {AT_MOST})");
    println!("a list takes {list:.2} ms (promised: {LIST_AT_MOST_MILLISECONDS})");
    if ratio > AT_MOST || list > LIST_AT_MOST_MILLISECONDS {
        return Err("a promise is not kept".into());
    }
    Ok(())
}

#[derive(Default)]
struct Pass {
    first: Figures,
    last: Figures,
    lists: Figures,
}

impl Pass {
    fn last_over_first(&self) -> f64 {
        self.last.percentile(0.5).as_secs_f64() / self.first.percentile(0.5).as_secs_f64()
    }
}

/// Makes them all, lists them, and ends them.
fn pass(service: &Service, count: usize) -> Outcome<Pass> {
    let (client, document) = (service.client()?, Any::from_text(service.document())?);
    let mut pass = Pass::default();
    let (mut rest, mut systems) = (Figures::default(), Vec::new());
    for number in 0..count {
        let figures = match number {
            _ if number < COMPARED => &mut pass.first,
            _ if number >= count - COMPARED => &mut pass.last,
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
        let listed = pass.lists.time(|| client.list(None).wait())?;
        if listed.len() != count {
            return Err(format!("{} of {count} are listed", listed.len()).into());
        }
    }
    let mut ends = Figures::default();
    for system in systems {
        ends.time(|| system.terminate().wait())?;
    }
    println!("{}", pass.first.line(&format!("create and start, the first {COMPARED} of {count}")));
    println!("{}", pass.last.line(&format!("create and start, the last {COMPARED} of {count}")));
    println!("{}", pass.lists.line(&format!("list {count}")));
    println!("{}", ends.line("terminate"));
    Ok(pass)
}

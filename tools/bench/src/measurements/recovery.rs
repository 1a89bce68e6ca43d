//! A service that was killed, from the start of the next until that has taken over what runs and says that it is ready.

use hcs::schema::Any;

use crate::{Outcome, bundle, figures::Figure, report::Report, samples::Samples, service::Service};

/// Measures.
pub fn measure(report: &mut Report) -> Outcome {
    for (systems, times, promise) in [(0, 20, None), (20, 20, Some("restart-20")), (500, 5, None)] {
        let samples = restarts(systems, times)?;
        let figure =
            Figure::new(format!("kill -9 of hcsd, {systems} systems: until they are adopted"), &samples);
        report.note(match promise {
            Some(id) => figure.promised(id)?,
            None => figure,
        });
    }
    Ok(())
}

fn restarts(systems: usize, times: usize) -> Outcome<Samples> {
    let mut service = Service::start()?;
    bundle::root_fs(&service.folder().join("rootfs"))?;
    let (client, document) = (service.client()?, Any::from_text(service.document())?);
    for number in 0..systems {
        let system = client.create_from(&format!("adopted-{number}"), document.clone(), false).wait()?;
        system.start().wait()?;
    }
    let mut samples = Samples::default();
    for _ in 0..times {
        service.kill()?;
        samples.time(|| service.start_again())?;
        let found = service.client()?.list(None).wait()?.len();
        if found != systems {
            return Err(format!("{found} of {systems} systems were adopted").into());
        }
    }
    Ok(samples)
}

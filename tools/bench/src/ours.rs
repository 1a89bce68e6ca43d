//! Our service with a client that is connected, and a container in which processes can be started.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use hcs::{
    Client, System,
    schema::{Any, ProcessParameters},
};

use crate::{
    Outcome, bundle,
    contest::Contestant,
    service::Service,
    usage::{Group, Groups},
};

/// Ours.
pub struct Ours {
    group: Group,
    client: Client,
    document: Any,
    parameters: ProcessParameters,
    running: System,
    number: u64,
    service: Service,
}

impl Ours {
    /// Starts a service.
    pub fn start(groups: &Groups) -> Outcome<Ours> {
        let group = groups.make("ours")?;
        group.enter()?;
        let service = Service::start()?;
        bundle::root_fs(&service.folder().join("rootfs"))?;
        let client = service.client()?;
        let document = Any::from_text(service.document())?;
        let parameters = ProcessParameters::default().command_args(vec![bundle::PROGRAM.to_owned()]);
        let running = client.create_from("running", document.clone(), false).wait()?;
        running.start().wait()?;
        // Containers have groups of their own below a folder of the service's.
        let group = group.with(groups.holder(running.runtime_id()));
        Ok(Ours { group, client, document, parameters, running, number: 0, service })
    }

    /// Where the root file system is.
    pub fn root_fs(&self) -> PathBuf {
        self.service.folder().join("rootfs")
    }

    fn live(&self, id: &str) -> Outcome {
        let system = self.client.create_from(id, self.document.clone(), false).wait()?;
        system.start().wait()?;
        let process = system.run(&self.parameters).wait()?;
        process.wait_blocking()?;
        system.terminate().wait()?;
        Ok(())
    }

    /// As many whole lives at once; how long all of them took.
    pub fn cycles_at_once(&self, count: usize) -> Outcome<Duration> {
        let began = Instant::now();
        let outcomes = thread::scope(|scope| {
            let live = |number| {
                scope.spawn(move || self.live(&format!("at-once-{number}")).map_err(|e| e.to_string()))
            };
            let lives: Vec<_> = (0..count).map(live).collect();
            lives
                .into_iter()
                .map(|life| life.join().unwrap_or(Err("it panicked".to_owned())))
                .collect::<Vec<_>>()
        });
        outcomes.into_iter().collect::<Result<(), String>>()?;
        Ok(began.elapsed())
    }
}

impl Contestant for Ours {
    fn name(&self) -> String {
        "hcs, through the service".to_owned()
    }

    fn group(&self) -> &Group {
        &self.group
    }

    fn cycle(&mut self) -> Outcome<Duration> {
        self.number += 1;
        let id = format!("cycle-{}", self.number);
        let began = Instant::now();
        self.live(&id)?;
        Ok(began.elapsed())
    }

    fn exec(&mut self) -> Outcome<Duration> {
        let began = Instant::now();
        let process = self.running.run(&self.parameters).wait()?;
        process.wait_blocking()?;
        let elapsed = began.elapsed();
        // The handle is closed by the drop, as a peer's exit closes all that it had.
        drop(process);
        Ok(elapsed)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // The folder goes with the service; what resists is found there.
        let _ = self.running.terminate().wait();
    }
}

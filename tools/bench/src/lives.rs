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

use crate::{Outcome, bundle, samples::timed, service::Service};

/// Lives of containers, and processes in one.
pub struct Lives {
    client: Client,
    document: Any,
    parameters: ProcessParameters,
    running: System,
    number: u64,
    service: Service,
}

impl Lives {
    /// Starts a service.
    pub fn start() -> Outcome<Lives> {
        let service = Service::start()?;
        bundle::root_fs(&service.folder().join("rootfs"))?;
        let client = service.client()?;
        let document = Any::from_text(service.document())?;
        let parameters = ProcessParameters::default().command_args(vec![bundle::PROGRAM.to_owned()]);
        let running = client.create_from("running", document.clone(), false).wait()?;
        running.start().wait()?;
        Ok(Lives { client, document, parameters, running, number: 0, service })
    }

    /// Where the root file system is.
    pub fn root_fs(&self) -> PathBuf {
        self.service.folder().join("rootfs")
    }

    /// The container in which processes are started.
    pub fn running(&self) -> &System {
        &self.running
    }

    /// A whole life.
    pub fn cycle(&mut self) -> Outcome<Duration> {
        self.number += 1;
        let id = format!("cycle-{}", self.number);
        timed(|| self.live(&id))
    }

    /// A process, from the call to its end.
    pub fn exec(&mut self) -> Outcome<Duration> {
        let began = Instant::now();
        let process = self.running.run(&self.parameters).wait()?;
        process.wait_blocking()?;
        let elapsed = began.elapsed();
        // The handle is closed by the drop, as a peer's exit closes all that it had.
        drop(process);
        Ok(elapsed)
    }

    /// A call that does nothing.
    pub fn call(&mut self) -> Outcome<Duration> {
        timed(|| Ok(self.running.properties(None).wait().map(drop)?))
    }

    /// A container made and started. Its end is not counted.
    pub fn create(&mut self) -> Outcome<Duration> {
        let began = Instant::now();
        let system = self.client.create_from("created", self.document.clone(), false).wait()?;
        system.start().wait()?;
        let elapsed = began.elapsed();
        system.terminate().wait()?;
        Ok(elapsed)
    }

    /// As many whole lives at once; how long all of them took.
    pub fn at_once(&self, count: usize) -> Outcome<Duration> {
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

    fn live(&self, id: &str) -> Outcome {
        let system = self.client.create_from(id, self.document.clone(), false).wait()?;
        system.start().wait()?;
        let process = system.run(&self.parameters).wait()?;
        process.wait_blocking()?;
        system.terminate().wait()?;
        Ok(())
    }
}

impl Drop for Lives {
    fn drop(&mut self) {
        // The folder goes with the service; what resists is found there.
        let _ = self.running.terminate().wait();
    }
}

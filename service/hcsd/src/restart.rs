//! What hcsd does first: find what an earlier run has left, adopt what lives, tear down what was half made,
//! remove what is dead.
//!
//! Every live system has a folder with a record and its worker's socket. A broken folder never keeps the
//! service from starting; it is logged and removed.

use std::{
    fs,
    future::ready,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use hcs_core::{Error, Exit, Lifecycle, State, SystemId};
use hcs_ipc::worker::{Answer, Phase};

use crate::{
    blocking,
    record::Record,
    registry::{self, CLAIM_TIME},
    service::Service,
    system::{Facts, Queue, Setting, System, remove_leftovers},
    worker,
};

/// When no worker has answered for this long, those that have not are left to answer later.
const SILENCE: Duration = Duration::from_millis(250);

/// How long a worker may be busy: as long as a machine takes to be saved to a disk, or to be read from one, and some more. Its system
/// can be ended meanwhile.
const BUSY: Duration = Duration::from_secs(660);

/// Deals with every folder that is there, all at once. Returns when all is settled but what hangs: a worker
/// that does not answer delays only itself, and its system is known until it is given up.
pub async fn take_over(service: &Arc<Service>) {
    let systems = service.config.systems();
    let folders = match blocking::await_means(|| ready(folders(&systems))).await {
        Ok(folders) => folders,
        Err(error) => return tracing::error!(%error, "systems of an earlier run are left alone"),
    };
    let mut tasks = tokio::task::JoinSet::new();
    for folder in folders {
        match blocking::await_means(|| ready(Found::read(&folder))).await {
            Ok(found) => {
                if found.created {
                    // The folder's name is made from the id, so no two folders have one id.
                    let _ = service.registry.enter(&found.system);
                }
                tasks.spawn(found.take_over(service.clone()));
            }
            // What it says is not known, and whoever is there lives on; the next run finds it.
            Err(error) if blocking::lacks_means(&error) => {
                tracing::error!(folder = %folder.display(), %error, "a system is left alone");
            }
            Err(error) => {
                tracing::error!(folder = %folder.display(), %error, "a system could not be taken over");
                tasks.spawn(async move { registry::remove_folder(&folder).await });
            }
        }
    }
    while let Ok(Some(_)) = tokio::time::timeout(SILENCE, tasks.join_next()).await {}
    tasks.detach_all();
}

/// The folders of systems; none where there never was one.
fn folders(systems: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |error: io::Error| Error::from_io(&error, format!("reading {}", systems.display()));
    match fs::read_dir(systems) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.map_err(failed)?.map(|entry| Ok(entry.map_err(failed)?.path())).collect(),
    }
}

/// A system of which there is a record; whether it lives is not known yet.
struct Found {
    system: Arc<System>,
    queue: Queue,
    folder: PathBuf,
    created: bool,
}

impl Found {
    fn read(folder: &Path) -> Result<Found, Error> {
        let record = Record::read(folder).map_err(|error| Error::from_io(&error, "reading the record"))?;
        let id = SystemId::new(&record.id)?;
        let facts = Facts { id, warnings: Vec::new(), folder: folder.to_owned() };
        let created = record.created;
        // Until the worker says what it really does.
        let state = if record.stands_still { State::Paused } else { State::Running };
        let (system, queue) = System::new(facts, record, Lifecycle::adopted(state));
        system.unsettle();
        Ok(Found { system, queue, folder: folder.to_owned(), created })
    }

    async fn take_over(mut self, service: Arc<Service>) {
        let (system, folder) = (self.system.clone(), self.folder.clone());
        // One without a system is not busy.
        let patience = if self.created { BUSY } else { worker::GREETING };
        let attempt = || async {
            match system.recorded().host {
                Some(host) => worker::find_host(&host, system.instance.clone(), patience).await,
                None => worker::find(&folder, patience).await,
            }
        };
        // Who cannot be called for want of a descriptor lives all the same.
        let search = blocking::await_means(attempt);
        tokio::pin!(search);
        let found = match tokio::time::timeout(worker::GREETING, &mut search).await {
            Ok(found) => found,
            Err(_) => {
                tracing::warn!(id = %system.id, "a worker does not answer yet");
                tokio::select! {
                    found = &mut search => found,
                    waiting = self.queue.wanted_end() => {
                        self.give_up(&service, Exit::TerminatedByClient).await;
                        if let Some(reply) = waiting {
                            // Who asked may have gone.
                            let _ = reply.send(Ok((Answer::Done, Vec::new())));
                        }
                        return;
                    }
                }
            }
        };
        let (worker, welcome) = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(id = %self.system.id, %error, "a worker cannot be adopted");
                return self.give_up(&service, Exit::WorkerDied { code: None }).await;
            }
        };
        if welcome.phase == Phase::Idle || !self.created {
            tracing::info!(id = %self.system.id, "a half-made system is torn down");
            worker.kill().await;
            return self.give_up(&service, Exit::WorkerDied { code: None }).await;
        }
        let system = self.system;
        let setting = Setting { service: service.clone(), system: system.clone(), worker, queue: self.queue };
        setting.adopt(&welcome);
        if let Phase::Exited(exit) = welcome.phase {
            service.registry.remember_ended(system);
            setting.conclude(exit).await;
        } else {
            tracing::info!(id = %system.id, state = system.state().name(), "a system is adopted");
            tokio::spawn(run_adopted(setting));
            tokio::spawn(await_holders(system));
        }
    }

    /// Removes a system whose worker is dead, does not answer, or never made it.
    async fn give_up(self, service: &Arc<Service>, exit: Exit) {
        let Found { system, queue, folder, created } = self;
        // What was asked of it meanwhile is answered by this.
        drop(queue);
        if let Some(worker) = system.recorded().worker {
            worker::kill(worker).await;
        }
        remove_leftovers(&system).await;
        registry::remove_folder(&folder).await;
        service.registry.forget(&system);
        if created {
            system.report_end(service, &exit);
            service.registry.remember_ended(system);
        }
    }
}

/// Runs a system that was adopted. One that ends before its clients have come back is kept for them.
async fn run_adopted(setting: Setting) {
    let (service, system, began) = (setting.service.clone(), setting.system.clone(), Instant::now());
    setting.run().await;
    if began.elapsed() < CLAIM_TIME {
        service.registry.remember_ended(system);
    }
}

/// A system that ends with its last handle waits for those who held one to come back.
async fn await_holders(system: Arc<System>) {
    if !system.terminate_on_last_handle {
        return;
    }
    tokio::time::sleep(CLAIM_TIME).await;
    if system.handles() == 0 {
        tracing::info!(id = %system.id, "nobody has come back to a system; it ends");
        system.end(Exit::TerminatedByClient);
    }
}

//! What hcsd does first: find what an earlier run has left, adopt what lives, tear down what was half made,
//! remove what is dead.
//!
//! Every live system has a folder with a record and its worker's socket. A broken folder never keeps the
//! service from starting; it is logged and removed.

use std::{fs, path::Path, sync::Arc};

use hcs_core::{Error, Exit, Lifecycle, SystemId};
use hcs_ipc::worker::Phase;

use crate::{
    record::Record,
    registry::{self, CLAIM_TIME},
    service::Service,
    system::{Facts, Setting, System, remove_leftovers, state_of},
    worker::{self, Worker},
};

/// Deals with every folder that is there, all at once: a worker that hangs delays only itself.
pub async fn take_over(service: &Arc<Service>) {
    let Ok(folders) = fs::read_dir(service.config.systems()) else { return };
    let mut tasks = tokio::task::JoinSet::new();
    for folder in folders.flatten() {
        let service = service.clone();
        tasks.spawn(async move {
            let folder = folder.path();
            if let Err(error) = take_over_one(&service, &folder).await {
                tracing::error!(folder = %folder.display(), %error, "a system could not be taken over");
                registry::remove_folder(&folder);
            }
        });
    }
    tasks.join_all().await;
}

async fn take_over_one(service: &Arc<Service>, folder: &Path) -> Result<(), Error> {
    let record = Record::read(folder).map_err(|error| Error::from_io(&error, "reading the record"))?;
    let id = SystemId::new(&record.id)?;
    let found = match worker::find(folder).await {
        Ok(found) => found,
        // It answers wrongly or not at all: nothing good comes of it.
        Err(error) => {
            tracing::warn!(%id, %error, "a worker cannot be adopted");
            None
        }
    };
    let facts = Facts { id, warnings: Vec::new(), folder: folder.to_owned() };
    match found {
        Some((worker, welcome)) => match welcome.phase.clone() {
            Phase::Exited(exit) => {
                let (system, queue) = System::new(facts, record, Lifecycle::adopted(state_of(&Phase::Running)));
                let setting = Setting { service: service.clone(), system: system.clone(), worker, queue };
                setting.adopt(&welcome);
                service.registry.remember_ended(system);
                setting.conclude(exit).await;
            }
            phase if phase == Phase::Idle || !record.created => {
                tracing::info!(id = %facts.id, "a half-made system is torn down");
                tear_down(facts, record, worker).await;
            }
            phase => {
                let (system, queue) = System::new(facts, record, Lifecycle::adopted(state_of(&phase)));
                let setting = Setting { service: service.clone(), system: system.clone(), worker, queue };
                setting.adopt(&welcome);
                service.registry.enter(&system)?;
                tracing::info!(id = %system.id, state = system.state().name(), "a system is adopted");
                tokio::spawn(setting.run());
                tokio::spawn(await_holders(system));
            }
        },
        None => {
            let created = record.created;
            let (system, queue) = System::new(facts, record, Lifecycle::adopted(state_of(&Phase::Running)));
            drop(queue);
            remove_leftovers(&system).await;
            registry::remove_folder(folder);
            system.report_end(service, &Exit::WorkerDied { code: None });
            if created {
                service.registry.remember_ended(system);
            }
        }
    }
    Ok(())
}

async fn tear_down(facts: Facts, record: Record, worker: Worker) {
    let folder = facts.folder.clone();
    let (system, _queue) = System::new(facts, record, Lifecycle::new());
    worker.kill().await;
    remove_leftovers(&system).await;
    registry::remove_folder(&folder);
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

//! Workers that are started before they are needed. Each is used once. One that is not used ends with hcsd, because its
//! connection does.
//!
//! One worker, the mother, never gets a system. It makes the others as copies of itself, which takes a quarter of the
//! time of an exec. When it is gone another takes its place.

use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hcs_core::Error;

use crate::{
    process_identity::{self, ProcessIdentity},
    worker::{self, Worker},
};

/// How many are kept: one to be taken, and one for whoever comes while that is replaced.
pub const KEPT: usize = 2;

/// How long after one was taken it is replaced. Right then the processors are busy with what it was taken for.
const BREATHER: Duration = Duration::from_millis(8);

/// The spare workers of a service.
pub struct SpareWorkers {
    program: Arc<OwnedFd>,
    nursery: tokio::sync::Mutex<Nursery>,
    state: Mutex<State>,
}

/// Where workers are born, one after the other.
#[derive(Default)]
struct Nursery {
    mother: Option<Worker>,
    /// Who was born in the last tick of the clock that tells when a process was started.
    newest: Vec<ProcessIdentity>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Worker>,
    /// How many are being started.
    coming: usize,
}

impl SpareWorkers {
    /// None yet. `program` is the worker's pinned program.
    pub fn new(program: OwnedFd) -> Arc<SpareWorkers> {
        Arc::new(SpareWorkers {
            program: Arc::new(program),
            nursery: Default::default(),
            state: Mutex::default(),
        })
    }

    /// Takes a spare one, or starts one if there is none.
    pub async fn take(self: &Arc<Self>) -> Result<Worker, Error> {
        loop {
            let (spare, left) = {
                let mut state = self.lock();
                (state.ready.pop_front(), state.ready.len())
            };
            self.refill_after(if left == 0 { Duration::ZERO } else { BREATHER });
            match spare {
                None => return self.make().await,
                Some(spare) => {
                    if spare.is_there() {
                        return Ok(spare);
                    }
                    // Somebody has killed it; it is only left to be buried.
                    spare.kill().await;
                }
            }
        }
    }

    /// Starts as many as are missing, without waiting for them.
    pub fn refill(self: &Arc<Self>) {
        self.refill_after(Duration::ZERO);
    }

    fn refill_after(self: &Arc<Self>, pause: Duration) {
        let missing = {
            let mut state = self.lock();
            let missing = KEPT.saturating_sub(state.ready.len() + state.coming);
            state.coming += missing;
            missing
        };
        for _ in 0..missing {
            let own = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                let ready = match own.make().await {
                    Ok(worker) if worker.is_there() => Some(worker),
                    Ok(dead) => {
                        // Nobody would bury it before another is wanted.
                        dead.kill().await;
                        None
                    }
                    Err(error) => {
                        // Whoever needs one starts one, and is told.
                        tracing::warn!(%error, "a spare worker could not be started");
                        None
                    }
                };
                let mut state = own.lock();
                state.coming -= 1;
                state.ready.extend(ready);
            });
        }
    }

    async fn make(&self) -> Result<Worker, Error> {
        let mut nursery = self.nursery.lock().await;
        let Nursery { mother, newest } = &mut *nursery;
        if let Some(gone) = mother.take_if(|mother| !mother.is_there()) {
            gone.kill().await;
        }
        if mother.is_none() {
            let new = worker::start(self.program.clone()).await?;
            newest.extend(new.identity());
            *mother = Some(new);
        }
        let since = process_identity::now();
        newest.retain(|one| one.started >= since);
        if let Some(mother) = mother
            && let Ok(worker) = worker::twin(mother).await
        {
            newest.extend(worker.identity());
            return Ok(worker);
        }
        // It has died, or cannot fork. Without it a worker costs more, and that is all.
        if let Some(useless) = mother.take() {
            useless.kill().await;
            worker::bury(since, newest).await;
        }
        let worker = worker::start(self.program.clone()).await?;
        newest.extend(worker.identity());
        Ok(worker)
    }

    /// How many are there to be taken.
    pub fn ready(&self) -> usize {
        self.lock().ready.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

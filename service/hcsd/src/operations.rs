//! The calls that have not been answered yet: listed for people, cancelled for clients.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use hcs_core::{Cause, Error};
use hcs_ipc::compute::PendingOperation;
use tokio::sync::oneshot;

use crate::session::Session;

/// The table of calls.
#[derive(Default)]
pub struct Operations(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    next: u64,
    entries: HashMap<u64, Entry>,
}

struct Entry {
    session: usize,
    operation: u64,
    method: &'static str,
    id: Option<String>,
    step: &'static str,
    since: Instant,
    cancel: Cancel,
    /// Those who wait for its end, who are told by these being dropped with it. Mostly nobody does.
    waiting: Vec<oneshot::Sender<()>>,
}

/// Whether a call can be cancelled.
enum Cancel {
    Never,
    Possible(oneshot::Sender<()>),
    Done,
}

/// A call's place in the table; it leaves the table by being dropped.
pub struct Entered {
    table: Arc<Operations>,
    key: u64,
}

impl Operations {
    /// Enters a call that cannot be cancelled.
    pub fn enter(
        self: &Arc<Self>,
        session: &Arc<Session>,
        operation: Option<u64>,
        method: &'static str,
        id: Option<String>,
    ) -> Entered {
        self.insert(session, operation, method, id, Cancel::Never)
    }

    /// Enters a call that can be cancelled; the receiver is told.
    pub fn enter_cancellable(
        self: &Arc<Self>,
        session: &Arc<Session>,
        operation: Option<u64>,
        method: &'static str,
        id: Option<String>,
    ) -> (Entered, oneshot::Receiver<()>) {
        let (cancel, cancelled) = oneshot::channel();
        (self.insert(session, operation, method, id, Cancel::Possible(cancel)), cancelled)
    }

    fn insert(
        self: &Arc<Self>,
        session: &Arc<Session>,
        operation: Option<u64>,
        method: &'static str,
        id: Option<String>,
        cancel: Cancel,
    ) -> Entered {
        let mut inner = self.lock();
        inner.next += 1;
        let key = inner.next;
        let entry = Entry {
            session: Arc::as_ptr(session) as usize,
            operation: operation.unwrap_or(0),
            method,
            id,
            step: "waiting for the worker",
            since: Instant::now(),
            cancel,
            waiting: Vec::new(),
        };
        inner.entries.insert(key, entry);
        Entered { table: self.clone(), key }
    }

    /// Cancels a session's call.
    pub fn cancel(&self, session: &Arc<Session>, operation: u64) -> Result<(), Error> {
        let mut inner = self.lock();
        let of_session = Arc::as_ptr(session) as usize;
        let entry = inner
            .entries
            .values_mut()
            .find(|entry| entry.operation == operation && entry.session == of_session);
        entry.ok_or_else(|| not_under_way(operation))?.cancel()
    }

    /// Cancels a call of whatever session, by its key in the list.
    pub fn cancel_by_key(&self, key: u64) -> Result<(), Error> {
        self.lock().entries.get_mut(&key).ok_or_else(|| not_under_way(key))?.cancel()
    }

    /// Returns when the call with this key in the list has been answered. One that is not there has been.
    pub async fn wait(&self, key: u64) {
        let ended = self.lock().entries.get_mut(&key).map(|entry| {
            let (waiting, ended) = oneshot::channel();
            // Whoever has hung up waits no more.
            entry.waiting.retain(|waiting| !waiting.is_closed());
            entry.waiting.push(waiting);
            ended
        });
        if let Some(ended) = ended {
            // Nothing is ever sent: the error that comes is the end of the entry.
            let _ = ended.await;
        }
    }

    /// Lists the calls, oldest first.
    pub fn list(&self) -> Vec<PendingOperation> {
        let inner = self.lock();
        let mut entries: Vec<(&u64, &Entry)> = inner.entries.iter().collect();
        entries.sort_by_key(|(_, entry)| entry.since);
        entries
            .into_iter()
            .map(|(key, entry)| PendingOperation {
                key: *key,
                can_be_cancelled: matches!(entry.cancel, Cancel::Possible(_)),
                operation: entry.operation,
                method: entry.method.rsplit('.').next().unwrap_or(entry.method).to_owned(),
                id: entry.id.clone(),
                step: entry.step.to_owned(),
                milliseconds: entry.since.elapsed().as_millis() as u64,
            })
            .collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().entries.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entered {
    /// Says what the call is doing from now on.
    pub fn step(&self, step: &'static str) {
        if let Some(entry) = self.table.lock().entries.get_mut(&self.key) {
            entry.step = step;
        }
    }
}

impl Entry {
    fn cancel(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.cancel, Cancel::Done) {
            Cancel::Possible(cancel) => {
                // A call that has just ended needs no telling.
                let _ = cancel.send(());
                Ok(())
            }
            Cancel::Done => Err(Cause::OperationAlreadyCancelled.into()),
            Cancel::Never => {
                self.cancel = Cancel::Never;
                Err(Error::new(Cause::NotImplemented, format!("{} cannot be cancelled", self.method))
                    .hint("Terminate the system instead."))
            }
        }
    }
}

fn not_under_way(number: u64) -> Error {
    Error::new(Cause::NotFound, format!("no call with the number {number} is under way"))
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.table.lock().entries.remove(&self.key);
    }
}

//! A client: its handles, and the stream of events that concern them.
//!
//! Every connection begins with a session of its own, which ends with it. `Attach` makes a session that other
//! connections join by its token, that has an event stream, and that a client resumes after a restart of hcsd.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hcs_core::{Cause, Error};
use hcs_ipc::{
    compute::{Event, EventKind},
    limits::MAX_QUEUED_EVENTS,
};
use hcs_schema::Any;
use tokio::sync::mpsc;

use crate::system::{Process, System};

/// A session.
pub struct Session {
    /// The secret by which it is joined; `None` for the session of a single connection.
    pub token: Option<String>,
    inner: Mutex<Inner>,
}

struct Inner {
    handles: HashMap<u64, Handle>,
    next: u64,
    events: Option<mpsc::Sender<Event>>,
    sequence: u64,
    ended: bool,
}

/// What a handle stands for.
#[derive(Clone)]
pub enum Handle {
    /// A compute system.
    System(Arc<System>),
    /// A process in a compute system.
    Process(Arc<System>, Arc<Process>),
}

impl Session {
    /// The session of a single connection.
    pub fn of_connection() -> Arc<Session> {
        Arc::new(Session { token: None, inner: Mutex::new(Inner::new(None)) })
    }

    /// A session with an event stream.
    pub fn attached(token: String) -> (Arc<Session>, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(MAX_QUEUED_EVENTS);
        let session = Session { token: Some(token), inner: Mutex::new(Inner::new(Some(sender))) };
        (Arc::new(session), receiver)
    }

    /// Makes a handle to a system.
    pub fn open_system(self: &Arc<Self>, system: &Arc<System>) -> Result<u64, Error> {
        let number = self.insert(None, Handle::System(system.clone()))?;
        system.handle_opened(self, number);
        Ok(number)
    }

    /// Makes a handle to a process.
    pub fn open_process(
        self: &Arc<Self>,
        system: &Arc<System>,
        process: &Arc<Process>,
    ) -> Result<u64, Error> {
        let number = self.insert(None, Handle::Process(system.clone(), process.clone()))?;
        process.handle_opened(self, number);
        Ok(number)
    }

    /// Makes a handle to a system valid again under its old number.
    pub fn reopen_system(self: &Arc<Self>, number: u64, system: &Arc<System>) -> Result<(), Error> {
        self.insert(Some(number), Handle::System(system.clone()))?;
        system.handle_opened(self, number);
        Ok(())
    }

    /// Makes a handle to a process valid again under its old number.
    pub fn reopen_process(
        self: &Arc<Self>,
        number: u64,
        system: &Arc<System>,
        process: &Arc<Process>,
    ) -> Result<(), Error> {
        self.insert(Some(number), Handle::Process(system.clone(), process.clone()))?;
        process.handle_opened(self, number);
        Ok(())
    }

    fn insert(&self, number: Option<u64>, handle: Handle) -> Result<u64, Error> {
        let mut inner = self.lock();
        if inner.ended {
            return Err(Error::new(Cause::ServiceDisconnect, "the session has ended"));
        }
        let number = number.unwrap_or(inner.next);
        let next = number.checked_add(1).filter(|_| !inner.handles.contains_key(&number));
        let next = next.ok_or_else(|| {
            Error::new(Cause::InvalidHandle, format!("{number} cannot be the number of one more handle"))
        })?;
        inner.next = inner.next.max(next);
        inner.handles.insert(number, handle);
        Ok(number)
    }

    /// The system behind a handle.
    pub fn system(&self, number: u64) -> Result<Arc<System>, Error> {
        match self.lock().handles.get(&number) {
            Some(Handle::System(system)) => Ok(system.clone()),
            _ => Err(Error::new(Cause::InvalidHandle, format!("{number} is no handle to a compute system"))),
        }
    }

    /// The process behind a handle, and its system.
    pub fn process(&self, number: u64) -> Result<(Arc<System>, Arc<Process>), Error> {
        match self.lock().handles.get(&number) {
            Some(Handle::Process(system, process)) => Ok((system.clone(), process.clone())),
            _ => Err(Error::new(Cause::InvalidHandle, format!("{number} is no handle to a process"))),
        }
    }

    /// Gives a handle up.
    pub fn close(&self, number: u64) -> Result<(), Error> {
        let handle = self.lock().handles.remove(&number);
        match handle {
            Some(handle) => {
                self.closed(number, &handle);
                Ok(())
            }
            None => Err(Error::new(Cause::InvalidHandle, format!("{number} is no handle"))),
        }
    }

    /// Ends the session: its handles are closed and its stream ends.
    pub fn end(&self) {
        let handles = {
            let mut inner = self.lock();
            inner.ended = true;
            inner.events = None;
            std::mem::take(&mut inner.handles)
        };
        for (number, handle) in &handles {
            self.closed(*number, handle);
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }

    fn closed(&self, number: u64, handle: &Handle) {
        match handle {
            Handle::System(system) => system.handle_closed(self, number),
            Handle::Process(_, process) => process.handle_closed(self, number),
        }
    }

    /// Tells the session's listener of an event on one of its handles.
    pub fn tell(&self, kind: EventKind, handle: Option<u64>, process: Option<u64>, data: Option<Any>) {
        let mut inner = self.lock();
        let Inner { events: Some(events), sequence, .. } = &mut *inner else { return };
        let event = Event { sequence: *sequence, r#type: kind, handle, process, data };
        *sequence += 1;
        if events.try_send(event).is_err() {
            // The listener does not keep up: its stream ends, it is told and never skipped.
            inner.events = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn new(events: Option<mpsc::Sender<Event>>) -> Inner {
        Inner { handles: HashMap::new(), next: 1, events, sequence: 1, ended: false }
    }
}

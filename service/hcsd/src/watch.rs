//! The events of the whole service, for `WatchEvents`: a ring of the latest, and whoever listens.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use hcs_ipc::{
    compute::{SystemEvent, SystemEventKind},
    limits::MAX_QUEUED_EVENTS,
};
use hcs_schema::Any;
use tokio::sync::mpsc;

/// How many past events a listener that comes back can catch up on.
const REMEMBERED: usize = 1024;

/// The stream of events.
pub struct Watch(Mutex<Inner>);

struct Inner {
    next: u64,
    past: VecDeque<SystemEvent>,
    listeners: Vec<mpsc::Sender<SystemEvent>>,
}

impl Watch {
    /// No events yet. Numbers begin at the time, so that those of an earlier run are never met again.
    pub fn new() -> Watch {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Watch(Mutex::new(Inner {
            next: now.as_micros() as u64,
            past: VecDeque::new(),
            listeners: Vec::new(),
        }))
    }

    /// Tells everybody.
    pub fn tell(&self, kind: SystemEventKind, id: &str, state: &str, data: Option<Any>) {
        let mut inner = self.lock();
        let event = SystemEvent {
            sequence: inner.next,
            r#type: kind,
            id: id.to_owned(),
            state: state.to_owned(),
            data,
        };
        inner.next += 1;
        if inner.past.len() == REMEMBERED {
            inner.past.pop_front();
        }
        inner.past.push_back(event.clone());
        // A listener whose queue is full is dropped here, which ends its stream: it is told, never skipped.
        inner.listeners.retain(|listener| listener.try_send(event.clone()).is_ok());
    }

    /// Begins to listen. The past since `since` comes back if it is still known whole; otherwise `None`, and
    /// the listener begins with the present, whose events carry the number that is returned.
    pub fn listen(&self, since: Option<u64>) -> (mpsc::Receiver<SystemEvent>, Option<Vec<SystemEvent>>, u64) {
        let mut inner = self.lock();
        let (sender, receiver) = mpsc::channel(MAX_QUEUED_EVENTS);
        inner.listeners.push(sender);
        let oldest = inner.past.front().map_or(inner.next, |event| event.sequence);
        let past = since
            .filter(|since| *since + 1 >= oldest && *since < inner.next)
            .map(|since| inner.past.iter().filter(|event| event.sequence > since).cloned().collect());
        (receiver, past, inner.next.saturating_sub(1))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

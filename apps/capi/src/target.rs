//! What a system and a process handle have in common: listeners, the news of the exit, and waiting for it.

use std::{
    sync::{Arc, PoisonError, Weak},
    time::Instant,
};

use hcs::link::Link;
use hcs_core::Cause;

use crate::{
    abi::Code,
    listener::{Listener, News},
    strand::Strand,
    sync::{Condvar, Mutex, MutexGuard},
};

/// How it ended: an exit with its document, or the loss of what the handle stood for.
#[derive(Clone)]
pub enum Exit {
    /// The event and the document.
    Exited(u32, Arc<[u16]>),
    /// The service has lost it.
    Lost,
    /// It never came to be.
    Failed(Code),
}

/// The common part of a handle.
#[derive(Default)]
pub struct Target {
    /// In which order its callbacks run.
    pub strand: Arc<Strand>,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    events: Option<Arc<Listener>>,
    notifications: Vec<Arc<Listener>>,
    exit: Option<Exit>,
    closed: bool,
}

/// A notification callback of a handle, which may be closed before it.
pub struct Registration {
    target: Weak<Target>,
    listener: Arc<Listener>,
}

impl Registration {
    /// Removes the callback and waits for it.
    pub fn remove(&self) {
        if let Some(target) = self.target.upgrade() {
            target.lock().notifications.retain(|other| !Arc::ptr_eq(other, &self.listener));
        }
        self.listener.remove();
    }
}

impl Target {
    /// Whether completed calls are told by events of this handle.
    pub fn wants_completions(&self) -> bool {
        self.lock().events.as_ref().is_some_and(|listener| listener.wants_completions())
    }

    /// Sets the event callback. An exit that has happened is told at once.
    pub fn set_events(&self, listener: Arc<Listener>) -> Result<(), Cause> {
        let mut inner = self.lock();
        if inner.events.is_some() {
            return Err(Cause::CallbackAlreadySet);
        }
        self.greet(&inner, &listener);
        inner.events = Some(listener);
        Ok(())
    }

    /// Removes the event callback and waits for it.
    pub fn remove_events(&self) {
        let removed = self.lock().events.take();
        if let Some(listener) = removed {
            listener.remove();
        }
    }

    /// Adds a notification callback, in the same way.
    pub fn add_notifications(self: &Arc<Self>, listener: Arc<Listener>) -> Arc<Registration> {
        let mut inner = self.lock();
        self.greet(&inner, &listener);
        inner.notifications.push(listener.clone());
        Arc::new(Registration { target: Arc::downgrade(self), listener })
    }

    fn greet(&self, inner: &Inner, listener: &Arc<Listener>) {
        let news = match &inner.exit {
            Some(Exit::Exited(kind, document)) => News::Event(*kind, Some(document.clone())),
            Some(Exit::Lost) => News::Disconnected,
            Some(Exit::Failed(_)) | None => return,
        };
        let listener = listener.clone();
        self.strand.push(move || listener.tell(&news));
    }

    /// Tells the event callback of a completed call. False when there is none.
    pub fn tell_completion(&self, is_wanted: impl Fn() -> bool + Send + 'static, news: News) -> bool {
        let Some(listener) = self.lock().events.clone() else { return false };
        self.strand.push(move || {
            if is_wanted() {
                listener.tell(&news);
            }
        });
        true
    }

    /// An event that is no exit.
    pub fn happened(&self, kind: u32, document: Option<Arc<[u16]>>) {
        self.tell_all(&self.lock(), &News::Event(kind, document));
    }

    /// The exit. The first one counts.
    pub fn ended(&self, exit: Exit) {
        let mut inner = self.lock();
        if inner.exit.is_some() {
            return;
        }
        match &exit {
            Exit::Exited(kind, document) => {
                self.tell_all(&inner, &News::Event(*kind, Some(document.clone())))
            }
            Exit::Lost => self.tell_all(&inner, &News::Disconnected),
            Exit::Failed(_) => {}
        }
        inner.exit = Some(exit);
        self.changed.notify_all();
    }

    fn tell_all(&self, inner: &Inner, news: &News) {
        for listener in inner.events.iter().chain(&inner.notifications) {
            let (listener, news) = (listener.clone(), news.clone());
            self.strand.push(move || listener.tell(&news));
        }
    }

    /// Waits for the exit; the document. An end that a call has told before is seen, however short the wait.
    pub fn wait_for_exit(&self, link: &Link, deadline: Option<Instant>) -> Result<Arc<[u16]>, Code> {
        let timeout = crate::abi::code(Cause::OperationTimeout);
        match self.wait_until(deadline) {
            Err(code) if code == timeout => {
                link.catch_up();
                self.wait_until(deadline)
            }
            waited => waited,
        }
    }

    /// The same without a look at what the service has told meanwhile.
    pub fn wait_until(&self, deadline: Option<Instant>) -> Result<Arc<[u16]>, Code> {
        let mut inner = self.lock();
        loop {
            match &inner.exit {
                _ if inner.closed => return Err(crate::abi::code(Cause::InvalidArgument)),
                Some(Exit::Exited(_, document)) => return Ok(document.clone()),
                Some(Exit::Lost) => return Err(crate::abi::code(Cause::ServiceDisconnect)),
                Some(Exit::Failed(code)) => return Err(*code),
                None => {}
            }
            inner = match deadline {
                None => self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(crate::abi::code(Cause::OperationTimeout));
                    }
                    self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// The handle is closed: no callback comes any more, and who waits is woken.
    pub fn close(&self) {
        let listeners: Vec<_> = {
            let mut inner = self.lock();
            inner.closed = true;
            self.changed.notify_all();
            inner.events.take().into_iter().chain(std::mem::take(&mut inner.notifications)).collect()
        };
        for listener in listeners {
            listener.remove();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

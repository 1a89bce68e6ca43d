//! A callback that a program has set on a handle: run on the library's threads, removed by the program's.

use std::{
    ptr,
    sync::{Arc, PoisonError},
};

use crate::{
    abi::{self, Context, EventCallback, Handle, NotificationCallback},
    sync::{
        Condvar, Mutex, MutexGuard,
        thread::{self, ThreadId},
    },
};

/// `HcsEventOptionEnableOperationCallbacks`.
const OPERATION_CALLBACKS: u32 = 1;
/// `HcsEventOperationCallback`.
const OPERATION_CALLBACK: u32 = 0x0100_0000;
/// `HcsEventServiceDisconnect`.
const SERVICE_DISCONNECT: u32 = 0x0200_0000;
/// `HcsEventProcessExited` and `HcsNotificationProcessExited`.
pub const PROCESS_EXITED: u32 = 0x0001_0000;
/// `HcsNotificationServiceDisconnect`.
const NOTIFICATION_SERVICE_DISCONNECT: u32 = 0x0100_0000;

/// Which form of callback it is.
pub enum Form {
    /// Of `Hcs…SetCallback`, with its options.
    Events(EventCallback, u32),
    /// Of `HcsRegisterProcessCallback`.
    Notifications(NotificationCallback),
}

/// What a listener is told.
#[derive(Clone, Debug)]
pub enum News {
    /// An event of the handle, with its document.
    Event(u32, Option<Arc<[u16]>>),
    /// The service is gone.
    Disconnected,
    /// A call has completed.
    Completed(Handle),
}

/// A callback.
pub struct Listener {
    form: Form,
    context: Context,
    state: Mutex<State>,
    idle: Condvar,
}

#[derive(Default)]
struct State {
    removed: bool,
    runs_on: Option<ThreadId>,
}

impl Listener {
    /// A callback with its context.
    pub fn new(form: Form, context: Context) -> Arc<Listener> {
        Arc::new(Listener { form, context, state: Mutex::default(), idle: Condvar::new() })
    }

    /// Whether it is told of completed calls.
    pub fn wants_completions(&self) -> bool {
        matches!(self.form, Form::Events(_, options) if options & OPERATION_CALLBACKS != 0)
    }

    /// Calls it, unless it has been removed.
    pub fn tell(&self, news: &News) {
        let mut state = self.lock();
        if state.removed {
            return;
        }
        state.runs_on = Some(thread::current().id());
        drop(state);
        self.call(news);
        self.lock().runs_on = None;
        self.idle.notify_all();
    }

    fn call(&self, news: &News) {
        // The callback gets a text that ends with a zero unit and lives until it returns.
        let terminated =
            |document: &Option<Arc<[u16]>>| document.as_ref().map(|units| [&units[..], &[0]].concat());
        let pointer = |text: &Option<Vec<u16>>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        match (&self.form, news) {
            (Form::Events(callback, _), News::Event(kind, document)) => {
                let text = terminated(document);
                callback(&abi::Event { kind: *kind, data: pointer(&text), operation: 0 }, self.context);
            }
            (Form::Events(callback, _), News::Disconnected) => {
                let event = abi::Event { kind: SERVICE_DISCONNECT, data: ptr::null(), operation: 0 };
                callback(&event, self.context);
            }
            (Form::Events(callback, _), News::Completed(operation)) => {
                let event = abi::Event { kind: OPERATION_CALLBACK, data: ptr::null(), operation: *operation };
                callback(&event, self.context);
            }
            (Form::Notifications(callback), News::Event(kind @ PROCESS_EXITED, document)) => {
                let text = terminated(document);
                callback(*kind, self.context, 0, pointer(&text));
            }
            (Form::Notifications(callback), News::Disconnected) => {
                callback(NOTIFICATION_SERVICE_DISCONNECT, self.context, 0, ptr::null());
            }
            (Form::Notifications(_), _) => {}
        }
    }

    /// Removes it, and waits for it if it is running. A callback that removes itself, which it must not, does
    /// not wait for itself.
    pub fn remove(&self) {
        let mut state = self.lock();
        state.removed = true;
        let own = thread::current().id();
        while state.runs_on.is_some_and(|thread| thread != own) {
            state = self.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What an `HCS_SYSTEM` stands for.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use hcs::{
    Link,
    link::{LinkEvent, Listener},
};
use hcs_core::Cause;
use hcs_ipc::compute::EventKind;
use hcs_schema::Guid;

use crate::{
    abi::{Handle, utf16},
    operation::Operation,
    remote::Remote,
    target::{Exit, Target},
};

/// `HcsEventSystemExited`.
const EXITED: u32 = 1;
/// `HcsEventSystemCrashInitiated`.
const CRASH_INITIATED: u32 = 2;
/// `HcsEventSystemCrashReport`.
const CRASH_REPORT: u32 = 3;
/// `HcsEventSystemGuestConnectionClosed`.
const GUEST_CONNECTION_CLOSED: u32 = 6;

/// A system's handle.
pub struct System {
    /// The handle.
    pub handle: Handle,
    /// The session it belongs to.
    pub link: Link,
    /// The service's handle.
    pub remote: Remote,
    /// Callbacks and exit.
    pub target: Arc<Target>,
    /// The operation of its creation, for a callback that is set late.
    creation: Mutex<Weak<Operation>>,
    /// Its RuntimeId, once that is known.
    machine: OnceLock<Guid>,
}

impl System {
    /// A handle.
    pub fn new(handle: Handle, link: Link, remote: Remote) -> Arc<System> {
        let (target, creation, machine) = Default::default();
        Arc::new(System { handle, link, remote, target, creation, machine })
    }

    /// Notes the operation of its creation.
    pub fn created_by(&self, operation: &Arc<Operation>) {
        *self.creation.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(operation);
    }

    /// That operation, if it still tracks the creation.
    pub fn creation(&self) -> Option<Arc<Operation>> {
        let operation = self.creation.lock().unwrap_or_else(PoisonError::into_inner).upgrade()?;
        (operation.subject().0 == self.handle).then_some(operation)
    }

    /// Notes its RuntimeId, as the service writes it.
    pub fn known_as(&self, runtime_id: &str) {
        if let Ok(machine) = runtime_id.parse() {
            // The service tells it once.
            let _ = self.machine.set(machine);
        }
    }

    /// Its RuntimeId, if it is created.
    pub fn machine(&self) -> Option<Guid> {
        self.machine.get().copied()
    }

    /// Has the handle told of the service's events.
    pub fn watch(&self, remote: u64, id: &str, instance: &str) {
        self.link.watch_system(remote, id, instance, listener(self.target.clone()));
    }

    /// Its creation has failed: there is no exit to wait for.
    pub fn failed(&self, cause: Cause) {
        self.target.ended(Exit::Failed(crate::abi::code(cause)));
    }
}

fn listener(target: Arc<Target>) -> Listener {
    Arc::new(move |event| {
        let (kind, data) = match event {
            LinkEvent::Disconnected => return target.ended(Exit::Lost),
            LinkEvent::Happened(kind, data) => (kind, data),
        };
        let document = data.map(|data| Arc::<[u16]>::from(utf16(data.get())));
        match kind {
            EventKind::SystemExited => {
                target.ended(Exit::Exited(EXITED, document.unwrap_or_else(|| utf16("{}").into())));
            }
            EventKind::SystemCrashInitiated => target.happened(CRASH_INITIATED, document),
            EventKind::SystemCrashReport => target.happened(CRASH_REPORT, document),
            EventKind::SystemGuestConnectionClosed => target.happened(GUEST_CONNECTION_CLOSED, None),
            EventKind::ProcessExited => {}
        }
    })
}

//! What an `HCS_PROCESS` stands for.

use std::sync::Arc;

use hcs::{Link, link::LinkEvent};
use hcs_core::Cause;
use hcs_ipc::compute::EventKind;

use crate::{
    abi::{Handle, utf16},
    listener::PROCESS_EXITED,
    remote::Remote,
    target::{Exit, Target},
};

/// A process's handle.
pub struct Process {
    /// The handle.
    pub handle: Handle,
    /// The handle of its system that it was made with, for the getters of operations.
    pub system: Handle,
    /// The session it belongs to.
    pub link: Link,
    /// The service's handle.
    pub remote: Remote,
    /// Callbacks and exit.
    pub target: Arc<Target>,
}

impl Process {
    /// A handle.
    pub fn new(handle: Handle, system: Handle, link: Link, remote: Remote) -> Arc<Process> {
        Arc::new(Process { handle, system, link, remote, target: Arc::default() })
    }

    /// Has the handle told of the service's events. `system` is the service's handle of its system.
    pub fn watch(&self, remote: u64, system: u64, process_id: u32) {
        let target = self.target.clone();
        let listener = move |event| match event {
            LinkEvent::Disconnected => target.ended(Exit::Lost),
            LinkEvent::Happened(EventKind::ProcessExited, data) => {
                let document = utf16(data.as_ref().map_or("{}", |data| data.get()));
                target.ended(Exit::Exited(PROCESS_EXITED, document.into()));
            }
            LinkEvent::Happened(..) => {}
        };
        self.link.watch_process(remote, system, process_id, Arc::new(listener));
    }

    /// It was never started: there is no exit to wait for.
    pub fn failed(&self, cause: Cause) {
        self.target.ended(Exit::Failed(crate::abi::code(cause)));
    }
}

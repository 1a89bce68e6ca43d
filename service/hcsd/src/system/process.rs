//! A process of a compute system, as the service knows it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hcs_ipc::{compute::EventKind, worker::ProcessExit};
use hcs_schema::{Any, ProcessStatus, ProcessStatusLinux};
use tokio::sync::watch;

use crate::session::Session;

/// A process.
pub struct Process {
    /// Its id in the system.
    pub process_id: u32,
    exit: watch::Sender<Option<ProcessExit>>,
    handles: Mutex<Vec<(Weak<Session>, u64)>>,
}

impl Process {
    /// A process that lives, or has ended like this.
    pub fn new(process_id: u32, exit: Option<ProcessExit>) -> Arc<Process> {
        Arc::new(Process { process_id, exit: watch::Sender::new(exit), handles: Mutex::new(Vec::new()) })
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<ProcessExit> {
        *self.exit.borrow()
    }

    /// Waits for its end.
    pub async fn wait_for_exit(&self) {
        let _ = self.exit.subscribe().wait_for(Option::is_some).await;
    }

    /// Its ProcessStatus document.
    pub fn status(&self) -> ProcessStatus {
        let exit = self.exit();
        ProcessStatus {
            process_id: Some(self.process_id),
            exited: Some(exit.is_some()),
            exit_code: exit.map(|exit| exit.code),
            last_wait_result: exit.map(|_| 0),
            linux: exit
                .filter(|exit| exit.out_of_memory)
                .map(|_| ProcessStatusLinux { killed_by_memory_limit: Some(true) }),
        }
    }

    /// It has ended; everybody with a handle is told.
    pub fn ended(&self, exit: ProcessExit) {
        if self.exit.borrow().is_some() {
            return;
        }
        self.exit.send_replace(Some(exit));
        let listeners: Vec<_> =
            self.lock().iter().filter_map(|(weak, number)| Some((weak.upgrade()?, *number))).collect();
        for (session, number) in listeners {
            self.tell(&session, number);
        }
    }

    /// A session has a new handle. One to a process that has ended is told so at once.
    pub fn handle_opened(&self, session: &Arc<Session>, number: u64) {
        self.lock().push((Arc::downgrade(session), number));
        if self.exit().is_some() {
            self.tell(session, number);
        }
    }

    /// A session has given a handle up.
    pub fn handle_closed(&self, session: &Session, number: u64) {
        self.lock().retain(|(weak, other)| !(std::ptr::eq(weak.as_ptr(), session) && *other == number));
    }

    fn tell(&self, session: &Session, number: u64) {
        session.tell(EventKind::ProcessExited, None, Some(number), Any::from_value(&self.status()).ok());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Weak<Session>, u64)>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

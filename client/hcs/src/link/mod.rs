//! The connection of a program to the service: calls and their completions, and the events of its handles.
//!
//! ```text
//!   caller ── call() ──> connection from the pool ──> hcsd
//!                              │ reply
//!   done() <── link's thread (or the caller itself, if it waits) ── attach connection: events ──> listeners
//! ```
//!
//! A link is one session of the service. It survives a restart of the service: its thread connects anew and
//! claims the handles that are watched; calls that are made meanwhile wait, for ten seconds at most.
//!
//! Nothing here needs a runtime. Completions and listeners run on the link's thread and must be brief.
//!
//! A program that does one thing and ends can have a link without the thread ([`Link::connect_unattended`]): it waits in
//! one place at a time, and looks after the link there.

mod attachment;
mod connection;
mod failure;
mod poller;
pub mod quiet;
mod session;
mod thread;
mod wait;
mod way_back;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hcs_core::Cause;
use hcs_ipc::{
    compute::Method,
    varlink::{self, Received},
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::{Error, places};
pub use session::{LinkEvent, Listener};
use thread::Shared;
pub use wait::Ticket;

/// How long the service may be away, as its restart takes, before handles are given up.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Where the service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Its socket.
    pub socket: PathBuf,
}

impl Default for Options {
    /// The socket of `HCS_SOCKET`, or that below `HCS_ROOT`, or the one of the system's service.
    fn default() -> Options {
        Options {
            socket: places::named("HCS_SOCKET").unwrap_or_else(|| places::run_folder().join("hcs.sock")),
        }
    }
}

/// A session with the service. Clones are the same session; it ends with the last of them.
#[derive(Clone)]
pub struct Link(Arc<Owner>);

/// Ends the thread with the last clone.
struct Owner {
    shared: Arc<Shared>,
    next_operation: AtomicU64,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// A reply and the descriptors beside it.
pub type Replied<R> = (R, Vec<OwnedFd>);

impl Link {
    /// Connects and begins a session.
    pub fn connect(options: &Options) -> Result<Link, Error> {
        let shared = Shared::start(options.socket.clone())?;
        Ok(Link(Arc::new(Owner { shared, next_operation: AtomicU64::new(1) })))
    }

    /// Begins a session that no thread looks after, and does not wait for it: if the service refuses it, or does not answer,
    /// the first call is told. Who waits for a call takes its reply in by itself; other completions, and listeners, run in
    /// [`Link::look`]. With [`Link::attend`], or when the service turns out to be away, it becomes as any other link.
    ///
    /// Between two looks nobody notices a restart of the service, after which handles have to be claimed within
    /// [`PATIENCE`].
    pub fn connect_unattended(options: &Options) -> Result<Link, Error> {
        let shared = Shared::start_unattended(options.socket.clone())?;
        Ok(Link(Arc::new(Owner { shared, next_operation: AtomicU64::new(1) })))
    }

    /// Makes the thread, if there is none. If that fails the session is over, and everybody who waits is told.
    pub fn attend(&self) {
        let _ = self.0.shared.attend();
    }

    /// Does what there is to do for the link now, unless a thread looks after it. The link's descriptor is readable when
    /// there is something.
    pub fn look(&self) {
        self.0.shared.look();
    }

    /// A number for a call's parameter `operation`, by which it can be cancelled.
    pub fn next_operation(&self) -> u64 {
        self.0.next_operation.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether the session is over, because the service was away for too long.
    pub fn is_lost(&self) -> bool {
        self.0.shared.is_lost()
    }

    /// Returns when every event has been heard that the service had sent before. The reply to a call and the event of
    /// what it did come on two connections, so either can be heard first.
    pub fn catch_up(&self) {
        self.0.shared.catch_up();
    }

    /// Makes a call. `done` runs once, on a thread that is not to be held up; the ticket lets the caller wait for that. If
    /// the last clone of the link is dropped before there is a reply, `done` is dropped with it.
    pub fn call<M: Method>(
        &self,
        parameters: &M,
        done: impl FnOnce(Result<Replied<M::Reply>, Error>) + Send + 'static,
    ) -> Ticket {
        self.call_raw(M::NAME, parameters, move |received| done(received.and_then(understood::<M>)))
    }

    /// Makes a call of any method, known to this crate or not.
    pub fn call_raw(
        &self,
        method: &str,
        parameters: &impl serde::Serialize,
        done: impl FnOnce(Result<Received, Error>) + Send + 'static,
    ) -> Ticket {
        match varlink::encode_call(method, parameters, false) {
            Ok(text) if text.len() <= hcs_ipc::limits::MAX_MESSAGE => {
                let call = connection::Pending::new(text, Box::new(done));
                Ticket::new(&self.0.shared, self.0.shared.begin(call))
            }
            Ok(text) => {
                let what = format!("the documents of a call have {} bytes", text.len());
                let hint = format!("At most {} are possible.", hcs_ipc::limits::MAX_DOCUMENT);
                done(Err(hcs_core::Error::new(Cause::InvalidData, what).hint(hint).into()));
                Ticket::over()
            }
            Err(error) => {
                done(Err(unusable(&error)));
                Ticket::over()
            }
        }
    }

    /// Makes a call and waits for its reply, without the help of another thread.
    pub fn call_wait<M: Method>(&self, parameters: &M) -> Result<Replied<M::Reply>, Error>
    where
        M::Reply: Send + 'static,
    {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let ticket = self.call(parameters, move |result| {
            // The receiver waits below; it cannot be gone.
            let _ = sender.send(result);
        });
        ticket.wait(None);
        receiver.recv().unwrap_or_else(|_| Err(failure::lost(io::ErrorKind::BrokenPipe.into())))
    }

    /// Has `listener` told of the events of a system's handle, those that have come already first. The handle
    /// is claimed again after a restart of the service, by id and instance.
    pub fn watch_system(&self, handle: u64, id: &str, instance: &str, listener: Listener) {
        self.0.shared.watch_system(handle, id, instance, listener);
    }

    /// The same for a process's handle; `system` is the handle of its system that it was made with.
    pub fn watch_process(&self, process: u64, system: u64, process_id: u32, listener: Listener) {
        self.0.shared.watch_process(process, system, process_id, listener);
    }

    /// Forgets a system's handle and gives it up.
    pub fn close_system(&self, handle: u64) {
        self.0.shared.forget_system(handle);
        // A handle that the service does not know is closed as well.
        self.0.shared.tell(&hcs_ipc::compute::CloseComputeSystem { handle });
    }

    /// Forgets a process's handle and gives it up.
    pub fn close_process(&self, process: u64) {
        self.0.shared.forget_process(process);
        self.0.shared.tell(&hcs_ipc::compute::CloseProcess { process });
    }
}

impl AsFd for Link {
    /// For `poll` only; see [`Link::look`].
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.shared.as_fd()
    }
}

/// Reads the reply of a method.
fn understood<M: Method>(received: Received) -> Result<Replied<M::Reply>, Error> {
    let reply = serde_json::from_str(received.parameters.get()).map_err(|error| unusable(&error))?;
    Ok((reply, received.fds))
}

fn unusable(error: &serde_json::Error) -> Error {
    hcs_core::Error::new(Cause::Unexpected, format!("a message of the service's interface: {error}")).into()
}

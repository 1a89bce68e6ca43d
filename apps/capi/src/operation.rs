//! What an `HCS_OPERATION` stands for: one call after another, its outcome, and who is told of it.
//!
//! The rules are those of `hcs_core::operation`; here are memory, threads and callbacks.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, PoisonError},
    time::Instant,
};

use hcs::{Pipes, link::Ticket};
use hcs_core::{Cause, HResult, operation::OperationType};

use crate::{
    abi::{Code, Completion, Context, Handle, Out, Owned, ProcessInformation, code, utf16},
    listener::News,
    strand::Strand,
    sync::{Condvar, Mutex, MutexGuard},
    target::Target,
};

/// How a call ended.
pub struct Outcome {
    result: Result<(), HResult>,
    document: Option<Vec<u16>>,
    process: Option<Started>,
}

/// What a call tells of a process.
pub struct Started {
    /// As the guest numbers it.
    pub process_id: u32,
    /// Our ends, until somebody takes them.
    pub pipes: Pipes,
}

impl Outcome {
    /// Success, with what there is to tell.
    pub fn success(document: Option<&str>, process: Option<Started>) -> Outcome {
        Outcome { result: Ok(()), document: document.map(utf16), process }
    }

    /// Failure, with its ResultError document.
    pub fn failure(error: impl Into<hcs::Error>) -> Outcome {
        let error = error.into();
        let document = serde_json::to_string(&error.document).ok();
        let document = document.as_deref().map(utf16);
        Outcome { result: Err(error.cause.hresult()), document, process: None }
    }

    /// The code that a synchronous function returns.
    pub fn code(&self) -> Code {
        self.result.map_or_else(|failed| failed.0, |()| 0)
    }

    /// The document, for a synchronous function.
    pub fn document(&self) -> Option<&[u16]> {
        self.document.as_deref()
    }
}

/// What a call works on.
#[derive(Default)]
pub struct Subject {
    /// The system's handle, or 0.
    pub system: Handle,
    /// The process's handle, or 0.
    pub process: Handle,
    /// The handle that the call is made on, and whose callback may be told of it.
    pub target: Option<Arc<Target>>,
}

/// An operation.
pub struct Operation {
    handle: Handle,
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    life: hcs_core::operation::Operation<Outcome>,
    context: Context,
    callback: Option<Completion>,
    subject: Subject,
    /// The call's number at the service, for cancelling.
    number: Option<u64>,
    ticket: Option<Arc<Ticket>>,
    /// Somebody has read the outcome.
    is_read: bool,
    /// Somebody is told of it.
    is_told: bool,
    is_closed: bool,
}

impl Operation {
    /// One that has not been used.
    pub fn new(handle: Handle, context: Context, callback: Option<Completion>) -> Arc<Operation> {
        let inner = Inner {
            life: hcs_core::operation::Operation::new(),
            context,
            callback,
            subject: Subject::default(),
            number: None,
            ticket: None,
            is_read: false,
            is_told: false,
            is_closed: false,
        };
        Arc::new(Operation { handle, inner: Mutex::new(inner), changed: Condvar::new() })
    }

    /// Its handle.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// Begins to track a call.
    pub fn begin(&self, kind: OperationType, subject: Subject) -> Result<(), Cause> {
        let mut inner = self.lock();
        if inner.life.is_pending() {
            return Err(Cause::OperationAlreadyStarted);
        }
        let told_twice = |target: &Arc<Target>| inner.callback.is_some() && target.wants_completions();
        if subject.target.as_ref().is_some_and(told_twice) {
            return Err(Cause::CallbackAlreadySet);
        }
        inner.life.begin(kind)?;
        inner.subject = subject;
        inner.number = None;
        inner.ticket = None;
        inner.is_read = false;
        inner.is_told = false;
        Ok(())
    }

    /// Names the handle whose callback is told, where that was made after the operation began.
    pub fn set_target(&self, target: Arc<Target>) {
        self.lock().subject.target = Some(target);
    }

    /// Notes how the call can be waited for and cancelled, if it is not over already.
    pub fn under_way(&self, ticket: Ticket, number: Option<u64>) {
        let mut inner = self.lock();
        if inner.life.is_pending() {
            inner.ticket = Some(Arc::new(ticket));
            inner.number = number;
        }
    }

    /// The call never started: its outcome can be read, and nobody is told of it.
    pub fn fail(&self, error: impl Into<hcs::Error>) -> Code {
        let outcome = Outcome::failure(error);
        let code = outcome.code();
        self.lock().life.complete(outcome);
        self.changed.notify_all();
        code
    }

    /// The call has ended.
    pub fn complete(self: &Arc<Self>, outcome: Outcome) {
        let mut inner = self.lock();
        inner.life.complete(outcome);
        inner.ticket = None;
        inner.number = None;
        self.changed.notify_all();
        if !inner.is_closed {
            self.tell(&mut inner);
        }
    }

    /// Tells one party: the operation's callback, or else that of the handle.
    fn tell(self: &Arc<Self>, inner: &mut Inner) {
        let operation = self.clone();
        if let Some(callback) = inner.callback {
            let context = inner.context;
            inner.is_told = true;
            let strand =
                inner.subject.target.as_ref().map_or_else(Arc::<Strand>::default, |one| one.strand.clone());
            strand.push(move || {
                if !operation.lock().is_closed {
                    callback(operation.handle, context);
                }
            });
        } else if let Some(target) = inner.subject.target.as_ref().filter(|target| target.wants_completions())
        {
            let news = News::Completed(self.handle);
            inner.is_told = target.tell_completion(move || !operation.lock().is_closed, news);
        }
    }

    /// Tells a callback that was set on the system of a completed creation, if nobody knows of its outcome. The creation may
    /// have completed, and have told that callback, since it was set.
    pub fn tell_late(self: &Arc<Self>) {
        let mut inner = self.lock();
        let is_creation = inner.life.tracked() == OperationType::Create && inner.life.result().is_ok();
        let is_known = inner.is_read || inner.is_told;
        if is_creation && !is_known && !inner.is_closed && inner.callback.is_none() {
            self.tell(&mut inner);
        }
    }

    /// Closes it. A thread that waits still gets the outcome.
    pub fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Its context.
    pub fn context(&self) -> Context {
        self.lock().context
    }

    /// Replaces its context.
    pub fn set_context(&self, context: Context) {
        self.lock().context = context;
    }

    /// Replaces callback and context.
    pub fn set_callback(&self, context: Context, callback: Completion) -> Result<(), Cause> {
        let mut inner = self.lock();
        let is_told = |target: &Arc<Target>| target.wants_completions();
        if inner.life.is_pending() && inner.subject.target.as_ref().is_some_and(is_told) {
            return Err(Cause::CallbackAlreadySet);
        }
        inner.context = context;
        inner.callback = Some(callback);
        Ok(())
    }

    /// Which call it tracks.
    pub fn kind(&self) -> OperationType {
        self.lock().life.tracked()
    }

    /// The handles of system and process that the call works on.
    pub fn subject(&self) -> (Handle, Handle) {
        let inner = self.lock();
        (inner.subject.system, inner.subject.process)
    }

    /// The number of the pending call at the service.
    pub fn number(&self) -> Option<u64> {
        self.lock().number
    }

    /// Waits until the call is over or the time has come.
    pub fn wait(&self, deadline: Option<Instant>) {
        let ticket = {
            let inner = self.lock();
            if !inner.life.is_pending() {
                return;
            }
            inner.ticket.clone()
        };
        if let Some(ticket) = ticket {
            ticket.wait(deadline);
        }
        let mut inner = self.lock();
        while inner.life.is_pending() {
            inner = match deadline {
                None => self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Reads the outcome; `still` is the answer while there is none.
    pub fn read(&self, still: Cause, information: Out<ProcessInformation>, document: Out<Owned>) -> Code {
        information.clear();
        document.clear();
        let mut inner = self.lock();
        let tells_of_process =
            matches!(inner.life.tracked(), OperationType::CreateProcess | OperationType::GetProcessInfo);
        let outcome = match inner.life.result_mut() {
            Err(Cause::OperationPending) => return code(still),
            Err(cause) => return code(cause),
            Ok(outcome) => outcome,
        };
        if !information.is_null() && outcome.result.is_ok() {
            match &mut outcome.process {
                _ if !tells_of_process => return code(Cause::InvalidArgument),
                None => return code(Cause::ProcessInfoNotAvailable),
                Some(started) => information.set(hand_out(started)),
            }
        }
        if !document.is_null()
            && let Some(text) = &outcome.document
        {
            match Owned::copy(text) {
                Ok(text) => document.set(text),
                Err(cause) => return code(cause),
            }
        }
        let code = outcome.code();
        inner.is_read = true;
        code
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process's information; the descriptors become the caller's.
fn hand_out(started: &mut Started) -> ProcessInformation {
    let Pipes { stdin, stdout, stderr } = std::mem::take(&mut started.pipes);
    let handle = |fd: Option<OwnedFd>| fd.map_or(0, crate::win32::handle_of);
    ProcessInformation {
        process_id: started.process_id,
        reserved: 0,
        std_handles: [stdin, stdout, stderr].map(handle),
    }
}

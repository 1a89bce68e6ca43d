//! A compute system as the service knows it.
//!
//! [`System`] is what everybody holds: facts that never change, a view of those that do, and a way to ask. Its
//! [`actor`] is the one task that changes anything. Reading the view never waits for the actor, so properties
//! are answered while an operation hangs.

mod actor;
mod process;
mod request;

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

pub use actor::{Queue, Setting, remove_leftovers};
use hcs_core::{Call, Cause, Error, Exit, Lifecycle, RuntimeId, State, SystemId};
use hcs_ipc::{
    compute::{EventKind, SystemEventKind, Warning},
    worker::{Answer, ProcessExit, Request},
};
use hcs_schema::{Any, OsType, Properties, SystemType};
pub use process::Process;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{process_identity::ProcessIdentity, record::Record, service::Service, session::Session};

/// The exit of a process that died by SIGKILL.
const KILLED: ProcessExit = ProcessExit { code: 137, out_of_memory: false };

/// How many ended processes are remembered, so that a system that runs for years does not grow.
const REMEMBERED: usize = 4096;

/// An answer of a worker with its descriptors, or why there is none.
pub type Answered = Result<(Answer, Vec<std::os::fd::OwnedFd>), Error>;

/// A compute system.
pub struct System {
    /// Its id.
    pub id: SystemId,
    /// Its GUID.
    pub runtime_id: RuntimeId,
    /// Which system of this id it is.
    pub instance: String,
    /// `Owner` of the document.
    pub owner: String,
    /// Whether it ends with its last handle.
    pub terminate_on_last_handle: bool,
    /// What the document contained in vain.
    pub warnings: Vec<Warning>,
    /// Whether it is a virtual machine; else it is a container.
    pub is_machine: bool,
    folder: std::path::PathBuf,
    view: Mutex<View>,
    record: Mutex<Record>,
    commands: mpsc::UnboundedSender<Command>,
    exit: watch::Sender<Option<Exit>>,
}

/// What changes.
struct View {
    life: Lifecycle,
    /// Its worker has not said yet which processes there are: an earlier run of the service knew.
    is_unsettled: bool,
    processes: std::collections::BTreeMap<u32, Arc<Process>>,
    /// The ids of those that have ended, oldest first.
    ended: std::collections::VecDeque<u32>,
    handles: Vec<(Weak<Session>, u64)>,
}

impl View {
    /// A process was made. An ended one of the same number makes room for it.
    fn process_created(&mut self, process_id: u32) {
        self.ended.retain(|id| *id != process_id);
        self.processes.insert(process_id, Process::new(process_id, None));
    }

    /// A process has ended. The oldest are forgotten, as in the worker; handles to them stay good.
    fn process_ended(&mut self, process_id: u32) {
        self.ended.push_back(process_id);
        if self.ended.len() > REMEMBERED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.processes.remove(&oldest);
        }
    }
}

/// What the actor is asked.
enum Command {
    /// A call that goes to the worker.
    Do { call: Call, request: Box<Request>, fds: Vec<OwnedFd>, reply: oneshot::Sender<Answered> },
    /// The end of the system, wanted by the service itself or by nobody who waits.
    End(Exit),
    /// The end of a creation that somebody has cancelled.
    Abandon,
}

/// What is fixed about a system when it is made.
pub struct Facts {
    /// Its id.
    pub id: SystemId,
    /// What the document contained in vain.
    pub warnings: Vec<Warning>,
    /// Its run folder.
    pub folder: std::path::PathBuf,
}

impl System {
    /// Makes a system and the queue of its actor, which is to be started with [`actor::Setting::run`].
    pub fn new(facts: Facts, record: Record, life: Lifecycle) -> (Arc<System>, actor::Queue) {
        let (commands, queue) = mpsc::unbounded_channel();
        let system = System {
            runtime_id: facts.id.runtime_id(),
            id: facts.id,
            instance: record.instance.clone(),
            owner: record.owner.clone(),
            terminate_on_last_handle: record.terminate_on_last_handle,
            warnings: facts.warnings,
            is_machine: record.is_machine,
            folder: facts.folder,
            view: Mutex::new(View {
                life,
                is_unsettled: false,
                processes: Default::default(),
                ended: Default::default(),
                handles: Vec::new(),
            }),
            record: Mutex::new(record),
            commands,
            exit: watch::Sender::new(None),
        };
        (Arc::new(system), actor::Queue(queue))
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.view().life.state()
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        self.exit.borrow().clone()
    }

    /// Waits for its end.
    pub async fn wait_for_exit(&self) -> Exit {
        let mut exit = self.exit.subscribe();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or(Exit::WorkerDied { code: None }),
            // The sender is part of this very system, so it cannot be gone.
            Err(_) => Exit::WorkerDied { code: None },
        }
    }

    /// Whether a call would be admitted now.
    pub fn admits(&self, call: Call) -> Result<(), Error> {
        let life = self.view().life;
        life.admits(call).map_err(|cause| refusal(cause, life.state(), call))
    }

    /// Asks the worker something, through the actor.
    pub async fn ask(&self, call: Call, request: Request) -> Answered {
        self.ask_with(call, request, Vec::new()).await
    }

    /// The same, with descriptors beside.
    pub async fn ask_with(&self, call: Call, request: Request, fds: Vec<OwnedFd>) -> Answered {
        let (reply, answer) = oneshot::channel();
        let command = Command::Do { call, request: Box::new(request), fds, reply };
        if self.commands.send(command).is_err() {
            return Err(Cause::SystemAlreadyStopped.into());
        }
        answer.await.unwrap_or_else(|_| Err(Cause::SystemAlreadyStopped.into()))
    }

    /// Ends the system without anybody waiting for it.
    pub fn end(&self, exit: Exit) {
        // An actor that is gone has ended its system already.
        let _ = self.commands.send(Command::End(exit));
    }

    /// Gives up a creation.
    pub fn abandon(&self) {
        let _ = self.commands.send(Command::Abandon);
    }

    /// The members that are in every Properties document.
    pub fn basic_properties(&self) -> Properties {
        let exit = self.exit();
        let Record { hosting_system, template, .. } = self.recorded();
        Properties {
            id: Some(self.id.as_str().to_owned()),
            system_type: Some(if self.is_machine {
                SystemType::VirtualMachine
            } else {
                SystemType::Container
            }),
            // Nobody has asked the guest of a machine what it is.
            runtime_os_type: (!self.is_machine).then_some(OsType::Linux),
            name: Some(self.id.as_str().to_owned()),
            owner: (!self.owner.is_empty()).then(|| self.owner.clone()),
            runtime_id: Some(self.runtime_id.0),
            hosting_system_id: hosting_system,
            runtime_template_id: template,
            // That of a machine is told from its start on.
            state: Some(self.state())
                .filter(|state| !self.is_machine || !matches!(state, State::Creating | State::Created))
                .map(State::document),
            stopped: exit.is_some().then_some(true),
            exit_type: exit.map(|exit| exit.notification_type()),
            ..Properties::default()
        }
    }

    /// A process by its id in the system.
    pub fn process(&self, process_id: u32) -> Option<Arc<Process>> {
        self.view().processes.get(&process_id).cloned()
    }

    /// A client may come back to it before its worker has said which processes there are.
    pub fn unsettle(&self) {
        self.view().is_unsettled = true;
    }

    /// A process that a client knows from before a restart. Of a system that has ended every process has, also
    /// one whose worker took the knowledge of it along; and one that is not settled yet will say what became of it.
    pub fn claimed_process(&self, process_id: u32) -> Option<Arc<Process>> {
        let mut view = self.view();
        if view.life.state() == State::Stopped {
            view.processes.entry(process_id).or_insert_with(|| Process::new(process_id, Some(KILLED)));
        } else if view.is_unsettled {
            view.processes.entry(process_id).or_insert_with(|| Process::new(process_id, None));
        }
        view.processes.get(&process_id).cloned()
    }

    /// How many handles there are to it.
    pub fn handles(&self) -> usize {
        self.view().handles.len()
    }

    /// A session has a new handle. One to a system that has ended is told so at once.
    pub fn handle_opened(&self, session: &Arc<Session>, number: u64) {
        self.view().handles.push((Arc::downgrade(session), number));
        if let Some(exit) = self.exit() {
            session.tell(EventKind::SystemExited, Some(number), None, Any::from_value(&exit.status()).ok());
        }
    }

    /// A session has given a handle up.
    pub fn handle_closed(&self, session: &Session, number: u64) {
        let any_left = {
            let mut view = self.view();
            let of_session = |weak: &Weak<Session>| std::ptr::eq(weak.as_ptr(), session);
            view.handles.retain(|(weak, other)| !(of_session(weak) && *other == number));
            !view.handles.is_empty()
        };
        if !any_left && self.terminate_on_last_handle {
            self.end(Exit::TerminatedByClient);
        }
    }

    /// Changes the record and writes it. Where that fails, it is written with the next change.
    pub fn update_record(&self, change: impl FnOnce(&mut Record)) -> Result<(), Error> {
        let mut record = self.record();
        change(&mut record);
        // The folder goes with the system; a late change has nothing to say.
        if self.exit.borrow().is_some() {
            return Ok(());
        }
        record.write(&self.folder).map_err(|error| Error::from_io(&error, "writing the record of the system"))
    }

    /// Notes the worker in the record, which is about to be written.
    pub fn note_worker(&self, worker: Option<ProcessIdentity>) {
        self.record().worker = worker;
    }

    /// A copy of the record.
    pub fn recorded(&self) -> Record {
        self.record().clone()
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything of the system is gone: everybody who holds a handle is told.
    pub fn report_end(&self, service: &Service, exit: &Exit) {
        let processes: Vec<Arc<Process>> = {
            let mut view = self.view();
            view.life.exited();
            view.processes.values().cloned().collect()
        };
        // A process whose end nobody saw was killed with the system.
        for process in processes {
            process.ended(KILLED);
        }
        self.exit.send_replace(Some(exit.clone()));
        let status = Any::from_value(&exit.status()).ok();
        for (session, number) in self.listeners() {
            session.tell(EventKind::SystemExited, Some(number), None, status.clone());
        }
        service.watch.tell(SystemEventKind::Exited, self.id.as_str(), State::Stopped.name(), status);
        tracing::info!(id = %self.id, ?exit, "the system has ended");
    }

    /// The guest has crashed, or everything is done about it: everybody who holds a handle is told.
    pub fn report_crash(&self, is_complete: bool, report: &Any) {
        let kind = if is_complete { EventKind::SystemCrashReport } else { EventKind::SystemCrashInitiated };
        for (session, number) in self.listeners() {
            session.tell(kind, Some(number), None, Some(report.clone()));
        }
        tracing::warn!(id = %self.id, is_complete, "the guest has crashed");
    }

    /// The connection to the guest's agent is gone: everybody who holds a handle is told.
    pub fn report_guest_lost(&self) {
        for (session, number) in self.listeners() {
            session.tell(EventKind::SystemGuestConnectionClosed, Some(number), None, None);
        }
        tracing::info!(id = %self.id, "the connection to the guest's agent is gone");
    }

    /// The sessions with handles, for an event.
    fn listeners(&self) -> Vec<(Arc<Session>, u64)> {
        self.view().handles.iter().filter_map(|(weak, number)| Some((weak.upgrade()?, *number))).collect()
    }
}

/// A refusal that names the state.
fn refusal(cause: Cause, state: State, call: Call) -> Error {
    match cause {
        Cause::InvalidState => {
            Error::new(cause, format!("{call:?} is not possible while the system is {}", state.name()))
        }
        other => other.into(),
    }
}

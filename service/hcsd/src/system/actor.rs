//! The one task that owns a compute system: it speaks to the worker, moves the life cycle, and ends the system.
//!
//! It waits for three things at once and for nothing else: the worker, the commands, and the nearest deadline.
//! So a worker that hangs in one request keeps nobody from terminating the system.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use hcs_core::{Call, Cause, Error, Exit, Lifecycle, State};
use hcs_ipc::{
    Message,
    compute::SystemEventKind,
    worker::{Answer, FromWorker, Notice, Numbered, Phase, ProcessRecord, Request, Welcome},
};
use hcs_schema::Any;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    Answered, Command, KILLED, Process, System, refusal,
    request::{limit, name},
};
use crate::{blocking, service::Service, worker::Worker};

/// The commands of a system whose actor has not begun.
pub struct Queue(pub(super) mpsc::UnboundedReceiver<Command>);

impl Queue {
    /// Of a system whose worker does not speak yet: refuses what is asked of it until its end is wanted. Who waits for that.
    pub async fn wanted_end(&mut self) -> Option<oneshot::Sender<Answered>> {
        loop {
            match self.0.recv().await {
                Some(Command::Do { call: Call::Terminate, reply, .. }) => return Some(reply),
                Some(Command::End(_) | Command::Abandon) => return None,
                Some(Command::Do { call, reply, .. }) => {
                    let what = format!("{call:?} is not possible yet: the worker of the system is busy");
                    let busy = Error::new(Cause::DeadlineExceeded, what);
                    answer(Some(reply), Err(busy.hint("Try again later, or terminate the system.")));
                }
                None => std::future::pending().await,
            }
        }
    }
}

/// What an actor needs.
pub struct Setting {
    /// The service, to leave the registry and to tell of events.
    pub service: Arc<Service>,
    /// The system.
    pub system: Arc<System>,
    /// Its worker.
    pub worker: Worker,
    /// Its commands.
    pub queue: Queue,
}

/// A request that the worker has not answered yet.
struct Pending {
    call: Call,
    deadline: Instant,
    /// What it was, for the log.
    what: &'static str,
    reply: Option<oneshot::Sender<Answered>>,
}

struct Actor {
    service: Arc<Service>,
    system: Arc<System>,
    worker: Worker,
    pending: HashMap<u64, Pending>,
    /// What nobody waits for any more, and changes the state if the worker does it after all.
    late: HashMap<u64, Call>,
    next: u64,
    /// How the system is to be reported if the worker must be killed.
    ending: Option<Exit>,
}

/// How the loop ended.
enum End {
    /// The worker says that the system has ended.
    Exited(Exit),
    /// The worker is gone, or must go.
    WorkerLost,
    /// The creation failed or was cancelled; there never was a system.
    NeverCreated,
}

impl Setting {
    /// Runs the system until it has ended.
    pub async fn run(self) {
        let (mut actor, mut queue) = self.actor();
        let end = actor.serve(&mut queue).await;
        // Commands from now on are refused at once rather than forgotten.
        queue.0.close();
        actor.finish(end).await;
    }

    /// Ends a system whose worker was found with its exit.
    pub async fn conclude(self, exit: Exit) {
        let (actor, queue) = self.actor();
        drop(queue);
        actor.finish(End::Exited(exit)).await;
    }

    fn actor(self) -> (Actor, Queue) {
        let Setting { service, system, worker, queue } = self;
        let (pending, late) = (HashMap::new(), HashMap::new());
        (Actor { service, system, worker, pending, late, next: first_number(), ending: None }, queue)
    }

    /// Takes over what a worker that was found tells about its system.
    pub fn adopt(&self, welcome: &Welcome) {
        let mut ended = Vec::new();
        let mut view = self.system.view();
        view.life = Lifecycle::adopted(state_of(&welcome.phase));
        view.is_unsettled = false;
        // What clients have claimed already. Of one that the worker has forgotten it is known only that it has ended.
        let mut claimed = std::mem::take(&mut view.processes);
        for record in &welcome.processes {
            let known = claimed.remove(&record.process_id);
            let process = known.unwrap_or_else(|| Process::new(record.process_id, None));
            view.processes.insert(record.process_id, process.clone());
            if let Some(exit) = record.exit {
                view.process_ended(record.process_id);
                ended.push((process, exit));
            }
        }
        drop(view);
        for (process, exit) in ended.into_iter().chain(claimed.into_values().map(|one| (one, KILLED))) {
            process.ended(exit);
        }
    }
}

/// The state that a worker's phase stands for.
fn state_of(phase: &Phase) -> State {
    match phase {
        Phase::Idle => State::Creating,
        Phase::Created => State::Created,
        Phase::Running => State::Running,
        Phase::Paused => State::Paused,
        Phase::Template => State::SavedAsTemplate,
        Phase::Exited(_) => State::Stopped,
    }
}

/// Numbers begin at the time: a worker that is taken over may still answer what an earlier run of the service has asked, and that
/// must not be taken for an answer to us.
fn first_number() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

impl Actor {
    async fn serve(&mut self, queue: &mut Queue) -> End {
        loop {
            let deadline = self.pending.values().map(|pending| pending.deadline).min();
            let expired = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let end = tokio::select! {
                message = self.worker.stream.receive() => match message {
                    Ok(Some(message)) => self.hear(message),
                    Ok(None) => Some(End::WorkerLost),
                    Err(error) => {
                        tracing::error!(id = %self.system.id, %error, "the connection to the worker broke");
                        Some(End::WorkerLost)
                    }
                },
                Some(command) = queue.0.recv() => self.obey(command),
                () = expired => self.expire(),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn obey(&mut self, command: Command) -> Option<End> {
        match command {
            Command::Do { call, request, fds, reply } => {
                let begun = {
                    let mut view = self.system.view();
                    // The creation is under way from birth; it does not have to be admitted.
                    let begun = if call == Call::Create { Ok(()) } else { view.life.begin(call) };
                    begun.map_err(|cause| refusal(cause, view.life.state(), call))
                };
                match begun {
                    Ok(()) => self.send(call, *request, fds, Some(reply)),
                    Err(error) => {
                        let _ = reply.send(Err(error));
                        None
                    }
                }
            }
            Command::End(exit) => {
                let begun = self.system.view().life.begin(Call::Terminate);
                if begun.is_err() {
                    return None;
                }
                self.send(Call::Terminate, Request::Terminate { exit }, Vec::new(), None)
            }
            Command::Abandon => {
                let under_way = self.system.view().life.under_way();
                if under_way == Some(Call::Create) {
                    return Some(End::NeverCreated);
                }
                // It exists and everybody has heard of it, so they must hear of its end.
                self.obey(Command::End(Exit::TerminatedByClient))
            }
        }
    }

    fn send(
        &mut self,
        call: Call,
        request: Request,
        fds: Vec<OwnedFd>,
        reply: Option<oneshot::Sender<Answered>>,
    ) -> Option<End> {
        if let Request::Terminate { exit } = &request {
            self.ending.get_or_insert_with(|| exit.clone());
        }
        let number = self.next;
        self.next += 1;
        let (what, deadline) = (name(&request), Instant::now() + limit(&request, self.system.is_machine));
        let queued = serde_json::to_vec(&Numbered { number, body: request })
            .map_err(std::io::Error::from)
            .and_then(|text| self.worker.stream.queue(text, fds));
        self.pending.insert(number, Pending { call, deadline, what, reply });
        queued.err().map(|error| {
            tracing::error!(id = %self.system.id, %error, "the worker does not take requests");
            End::WorkerLost
        })
    }

    fn expire(&mut self) -> Option<End> {
        let now = Instant::now();
        let expired: Vec<u64> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.deadline <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in expired {
            let Some(pending) = self.pending.remove(&number) else { continue };
            tracing::error!(id = %self.system.id, request = pending.what, "the worker did not answer in time");
            match pending.call {
                Call::Terminate => {
                    self.pending.insert(number, pending);
                    return Some(End::WorkerLost);
                }
                Call::Create => {
                    self.pending.insert(number, pending);
                    return Some(End::NeverCreated);
                }
                call => {
                    if matches!(call, Call::Start | Call::Pause | Call::Resume) {
                        self.late.insert(number, call);
                    }
                    self.system.view().life.finish(call, false);
                    answer(
                        pending.reply,
                        Err(Error::new(
                            Cause::DeadlineExceeded,
                            format!("{} did not finish in time", pending.what),
                        )
                        .hint("Terminate the system if it stays like this.")),
                    );
                }
            }
        }
        None
    }

    fn hear(&mut self, message: Message) -> Option<End> {
        match serde_json::from_slice::<FromWorker>(&message.text) {
            Ok(FromWorker::Reply(reply)) => self.hear_reply(reply, message.fds),
            Ok(FromWorker::Notice(Notice::ProcessExited(record))) => {
                self.process_ended(&record);
                None
            }
            Ok(FromWorker::Notice(Notice::Crash { is_complete, report })) => {
                self.system.report_crash(is_complete, &report);
                if !is_complete {
                    self.tell(SystemEventKind::Crashed, Some(report));
                }
                None
            }
            Ok(FromWorker::Notice(Notice::GuestConnectionClosed)) => {
                self.system.report_guest_lost();
                None
            }
            Ok(FromWorker::Notice(Notice::SystemExited(exit))) => Some(End::Exited(exit)),
            Err(error) => {
                tracing::error!(id = %self.system.id, %error, "the worker cannot be understood");
                Some(End::WorkerLost)
            }
        }
    }

    fn hear_reply(&mut self, reply: Numbered<Answer>, fds: Vec<OwnedFd>) -> Option<End> {
        if let Some(call) = self.late.remove(&reply.number) {
            if !matches!(reply.body, Answer::Failed(_)) {
                self.system.view().life.finish_late(call);
                self.tell_of(call);
            }
            return None;
        }
        let pending = self.pending.remove(&reply.number)?;
        let outcome = match reply.body {
            Answer::Failed(failure) => Err(Error::from(failure)),
            answer => Ok((answer, fds)),
        };
        if pending.call == Call::Terminate && outcome.is_ok() {
            // It is answered when the notice of the end has been dealt with. A system that never ran ends
            // without a notice of its own.
            let exit = self.ending.clone().unwrap_or(Exit::TerminatedByClient);
            self.pending.insert(reply.number, pending);
            return Some(End::Exited(exit));
        }
        if pending.call == Call::Create && outcome.is_err() {
            answer(pending.reply, outcome);
            return Some(End::NeverCreated);
        }
        self.system.view().life.finish(pending.call, outcome.is_ok());
        if let Ok((Answer::Started { process_id, .. }, _)) = &outcome
            && self.system.process(*process_id).is_none_or(|process| process.exit().is_some())
        {
            self.system.view().process_created(*process_id);
            self.tell(SystemEventKind::ProcessCreated, None);
        }
        if outcome.is_ok() {
            self.tell_of(pending.call);
        }
        answer(pending.reply, outcome);
        None
    }

    /// Tells everybody that a call has succeeded.
    fn tell_of(&self, call: Call) {
        match call {
            Call::Create => self.tell(SystemEventKind::Created, None),
            Call::Start => self.tell(SystemEventKind::Started, None),
            Call::Pause => self.tell(SystemEventKind::Paused, None),
            Call::Resume => self.tell(SystemEventKind::Resumed, None),
            Call::SaveToFile | Call::SaveAsTemplate => self.tell(SystemEventKind::Saved, None),
            _ => {}
        }
    }

    fn process_ended(&self, record: &ProcessRecord) {
        if let (Some(process), Some(exit)) = (self.system.process(record.process_id), record.exit) {
            process.ended(exit);
            self.system.view().process_ended(record.process_id);
            self.tell(SystemEventKind::ProcessExited, Any::from_value(&process.status()).ok());
        }
    }

    fn tell(&self, kind: SystemEventKind, data: Option<Any>) {
        self.service.watch.tell(kind, self.system.id.as_str(), self.system.state().name(), data);
    }

    /// Cleans up, tells everybody, and answers what still waits. In this order: who hears of the end finds
    /// nothing left.
    async fn finish(self, end: End) {
        let Actor { service, system, worker, pending, ending, .. } = self;
        let exit = match end {
            End::Exited(exit) => {
                if !worker.release().await {
                    remove_leftovers(&system).await;
                }
                Some(exit)
            }
            End::WorkerLost => {
                let code = match ending {
                    Some(_) => worker.kill().await,
                    None => worker.gone().await,
                };
                remove_leftovers(&system).await;
                Some(ending.unwrap_or(Exit::WorkerDied { code }))
            }
            End::NeverCreated => {
                worker.kill().await;
                remove_leftovers(&system).await;
                None
            }
        };
        let starting = system.view().life.under_way() == Some(Call::Start);
        // Before the id is free: the next system of it has the same folder.
        crate::registry::remove_folder(&system.folder).await;
        service.registry.forget(&system);
        match &exit {
            Some(exit) => system.report_end(&service, exit),
            // There never was a system, so nobody is told; only the calls that wait are answered.
            None => system.view().life.exited(),
        }
        for pending in pending.into_values() {
            let outcome = match (&exit, pending.call) {
                (Some(_), Call::Terminate) => Ok((Answer::Done, Vec::new())),
                (Some(exit), call) => Err(exit.cause_for_pending(starting && call == Call::Start).into()),
                (None, _) => Err(Error::new(Cause::Cancelled, "the creation was given up")),
            };
            answer(pending.reply, outcome);
        }
    }
}

fn answer(reply: Option<oneshot::Sender<Answered>>, outcome: Answered) {
    if let Some(reply) = reply {
        // Who does not wait any more has closed its operation, which is allowed.
        let _ = reply.send(outcome);
    }
}

/// Removes what a worker that died left; it may wait for processes to die, so it has a thread of its own.
pub async fn remove_leftovers(system: &System) {
    let attempt = || {
        let (record, name) = (system.recorded(), system.runtime_id.to_string());
        let remove = move || {
            let removed = hcs_container::container::remove_leftovers(&record.cgroup_parent, &name);
            hcs_machine::remove_sockets(record.sockets.iter().map(String::as_str));
            for file in &record.partial_files {
                // Mostly it is not there.
                let _ = std::fs::remove_file(file);
            }
            removed
        };
        async { blocking::run(remove).await? }
    };
    if let Err(error) = blocking::insist(attempt).await {
        tracing::error!(id = %system.id, %error, "leftovers could not be removed");
    }
}

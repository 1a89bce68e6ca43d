//! The worker's loop: it waits for everything at once ([`waiting`]), does what there is to do, and waits for nothing else.

mod waiting;

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use hcs_container::zygote::{self, Twin};
use hcs_core::{Cause, Error, Exit, ready};
use hcs_gcs::records::NULL_ID;
use hcs_ipc::{
    Message,
    worker::{Answer, FromWorker, Hello, Notice, Numbered, Phase, Request, VERSIONS, Welcome},
};
use hcs_machine::machine::Told;
use hcs_schema::Any;
use rustix::{event::PollFlags, io::Errno, net::SocketFlags};

use self::waiting::Ready;
use crate::{
    connection::{Broken, Connection},
    guest::{self, What},
    hosted_system::Hosted,
    name,
    requests::{self, Answered},
    system::System,
};

/// The whole state of the process.
pub struct Worker {
    /// Where a later hcsd finds this process; none as long as it has no system.
    listener: Option<OwnedFd>,
    connection: Option<Connection>,
    /// Nobody can be let in there before: descriptors are lacking.
    lets_in_at: Option<Instant>,
    /// Who has connected and has not said what for.
    callers: Vec<Connection>,
    system: System,
    /// Containers in the machine that the system is, by their id there.
    hosted: BTreeMap<String, Hosted>,
    /// Terminate requests to be answered when the system has ended.
    waiting_for_end: Vec<u64>,
    /// hcsd has the exit; this process may go.
    released: bool,
    /// Until when the first hcsd must have connected and asked for something.
    idle_until: Option<Instant>,
}

/// Which of two processes this is after one has become two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Old,
    New,
}

/// A worker that nobody asked for anything in this time was left by a service that died right after starting it.
const IDLE: Duration = Duration::from_secs(60);

/// How long nobody is let in after somebody could not be.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a machine may take to have ended whose port is gone.
const ENDS: Duration = Duration::from_secs(2);

impl Worker {
    /// A worker without a system, started by the hcsd at the other end of this connection.
    pub fn new(parent: OwnedFd) -> Worker {
        Worker {
            listener: None,
            connection: Some(Connection::new(parent)),
            lets_in_at: None,
            callers: Vec::new(),
            system: System::new(),
            hosted: BTreeMap::new(),
            waiting_for_end: Vec::new(),
            released: false,
            idle_until: Some(Instant::now() + IDLE),
        }
    }

    /// Serves until the system has ended and hcsd knows it. That something of it is left is an error: by it hcsd, who waits for
    /// this process, knows that there is something to remove.
    pub fn run(mut self) -> io::Result<()> {
        while !self.released {
            for ready in self.wait()? {
                self.handle(ready);
            }
            // What is due now is asked for first, so that it is not later than the time it is held against.
            let is_over = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= Instant::now());
            if is_over(self.system.deadline()) {
                self.system.deadline_passed();
            }
            if is_over(self.system.hears_at()) {
                self.hear();
            }
            self.lets_in_at.take_if(|at| *at <= Instant::now());
            self.hear_guest();
            self.system.give_up_devices();
            if *self.system.phase() != Phase::Idle {
                self.idle_until = None;
            }
            if is_over(self.gives_up_at()) {
                return Ok(());
            }
        }
        if self.system.has_left() {
            return Err(io::Error::other("something of the system is left"));
        }
        Ok(())
    }

    fn handle(&mut self, ready: Ready) {
        match ready {
            Ready::Listener => self.accept(),
            Ready::Connection => self.serve(),
            Ready::Caller => self.receive(),
            Ready::Hosted(id) => self.serve_hosted(&id),
            Ready::Process(process_id) => {
                if let Some(notice) = self.system.process_ended(process_id) {
                    self.notify(notice);
                }
            }
            Ready::Input(process_id) => self.system.processes_mut().pump(process_id),
            Ready::Unread(process_id) => self.system.processes_mut().discard_output(process_id),
            Ready::Kept(which) => self.system.kept().ready(which),
            Ready::KeptOfHosted(id, which) => {
                if let Some(hosted) = self.hosted.get_mut(&id) {
                    hosted.kept.ready(which);
                }
            }
            Ready::Monitor => self.hear(),
            Ready::Guest(which) => {
                if let Some(guest) = self.system.guest() {
                    guest.ready(which);
                }
            }
            Ready::DeviceHost(host) => {
                // QEMU may have told of the end just before.
                self.hear();
                self.system.hear_device_host(host);
            }
            Ready::Init => match self.system.init_ended() {
                Ok(Some(notice)) => self.ended(notice),
                Ok(None) => {}
                Err(error) => hcs_core::complain!("hcs-worker: cleaning up: {error}"),
            },
        }
    }

    /// Somebody connects: a hcsd that is younger than the one before, or one for a container in the machine.
    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            Ok(socket) => self.callers.extend(Connection::accept(socket)),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
            // Who waits there would be told of again at once, and cannot be let in.
            Err(_) => self.lets_in_at = Some(Instant::now() + PAUSE),
        }
    }

    /// Callers say what they have called for, or hang up.
    fn receive(&mut self) {
        for mut caller in std::mem::take(&mut self.callers) {
            match caller.receive().map(|messages| messages.into_iter().next()) {
                Ok(Some(message)) => self.answer_call(caller, message),
                Ok(None) => self.callers.push(caller),
                Err(Broken) => {}
            }
        }
    }

    fn answer_call(&mut self, mut caller: Connection, message: Message) {
        let Ok(hello) = serde_json::from_slice::<Hello>(&message.text) else { return };
        let Some(id) = hello.hosted else {
            // It takes over.
            self.connection = Some(caller);
            if self.take(message).is_err() {
                self.lose_connection();
            }
            return;
        };
        let version = VERSIONS.iter().copied().find(|version| hello.versions.contains(version));
        let Some(version) = version else { return };
        caller.greeted = true;
        let hosted = self.hosted.entry(id.clone()).or_insert_with(Hosted::new);
        hosted.connection = Some(caller);
        if hosted.greet(&id, version, self.system.heard_guest()).is_err() {
            hosted.connection = None;
        }
    }

    fn serve_hosted(&mut self, id: &str) {
        let Some(hosted) = self.hosted.get_mut(id) else { return };
        if hosted.serve(id, self.system.guest()).is_err() {
            hosted.connection = None;
        }
        if hosted.is_forgotten() {
            let has_ended = hosted.has_ended();
            self.hosted.remove(id);
            if let Some(guest) = self.system.guest().filter(|_| !has_ended) {
                guest.abandon_container(id);
            }
        }
    }

    fn lose_connection(&mut self) {
        self.connection = None;
        self.waiting_for_end.clear();
        // Nobody can find a worker without a system again.
        self.released |= self.listener.is_none();
    }

    fn serve(&mut self) {
        if self.try_serve().is_err() {
            self.lose_connection();
        }
    }

    fn try_serve(&mut self) -> Result<(), Broken> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        connection.flush()?;
        for message in connection.receive()? {
            if self.take(message)? == Which::New {
                // The other messages are for the old one.
                break;
            }
        }
        Ok(())
    }

    /// Does what a message says, and tells which of two processes this is then.
    fn take(&mut self, message: Message) -> Result<Which, Broken> {
        let Some(connection) = &mut self.connection else { return Err(Broken) };
        if !connection.greeted {
            let hello: Hello = serde_json::from_slice(&message.text).map_err(|_| Broken)?;
            let version = VERSIONS.iter().copied().find(|version| hello.versions.contains(version));
            connection.greeted = true;
            connection.send(
                &Welcome {
                    version,
                    pid: std::process::id(),
                    phase: self.system.phase().clone(),
                    processes: self.system.records(),
                },
                Vec::new(),
            )?;
            return if version.is_some() { Ok(Which::Old) } else { Err(Broken) };
        }
        let request: Numbered<Request> = serde_json::from_slice(&message.text).map_err(|_| Broken)?;
        if let Request::Own { name } = &request.body {
            self.listener = Some(message.fds.into_iter().next().ok_or(Broken)?);
            if let Err(error) = name::show(name) {
                hcs_core::complain!("hcs-worker: process lists do not show {name}: {error}");
            }
            return Ok(Which::Old);
        }
        if matches!(request.body, Request::Twin) {
            return self.become_two(request.number, message.fds);
        }
        if matches!(request.body, Request::Release) {
            // Release is for a system that has ended; otherwise nothing would own it.
            self.released = matches!(self.system.phase(), Phase::Exited(_) | Phase::Idle);
            return Ok(Which::Old);
        }
        if matches!(request.body, Request::Save { .. }) && self.hosted.values().any(Hosted::is_made) {
            // Where it goes on nobody would know of them.
            let detail = "the machine cannot be saved: it hosts containers";
            let refused = Error::new(Cause::NotSupported, detail).hint("End them first.");
            self.answer(request.number, Answer::Failed(refused.into()), Vec::new())?;
            return Ok(Which::Old);
        }
        match requests::handle(&mut self.system, request.number, request.body, message.fds) {
            Answered::Now(answer, fds) => self.answer(request.number, answer, fds)?,
            Answered::AtTheEnd => self.waiting_for_end.push(request.number),
            Answered::Later => {}
        }
        Ok(Which::Old)
    }

    /// The new one begins anew, with nothing of this one's. Who has asked is given what stands for it: it is a child of
    /// theirs, and may die before it has said a word.
    fn become_two(&mut self, number: u64, fds: Vec<OwnedFd>) -> Result<Which, Broken> {
        let its_connection = fds.into_iter().next().ok_or(Broken)?;
        if *self.system.phase() != Phase::Idle || self.listener.is_some() {
            return Err(Broken);
        }
        match zygote::twin() {
            Ok(Twin::Old(other)) => {
                self.answer(number, Answer::Done, vec![other])?;
                Ok(Which::Old)
            }
            Ok(Twin::New) => {
                let _ = rustix::process::setsid();
                *self = Worker::new(its_connection);
                Ok(Which::New)
            }
            Err(error) => {
                hcs_core::complain!("hcs-worker: {error}");
                Err(Broken)
            }
        }
    }

    fn answer(&mut self, number: u64, body: Answer, fds: Vec<OwnedFd>) -> Result<(), Broken> {
        let Some(connection) = &mut self.connection else { return Err(Broken) };
        connection.send(&FromWorker::Reply(Numbered { number, body }), fds)
    }

    /// A machine tells something, or has nothing to tell any more.
    fn hear(&mut self) {
        for told in self.system.hear() {
            match told {
                Told::Settled(number, outcome) => {
                    // A hcsd that has gone meanwhile does not ask any more.
                    let _ = self.answer(number, Answered::outcome(outcome), Vec::new());
                }
                Told::Crash { is_complete, report } => {
                    let report = Any::from_value(&report).unwrap_or_default();
                    self.notify(Notice::Crash { is_complete, report });
                }
            }
        }
    }

    /// What the guest of a machine has told.
    fn hear_guest(&mut self) {
        let Some(guest) = self.system.guest() else { return };
        guest.expire();
        let is_cut = guest.take_cut();
        let has_ended = matches!(self.system.phase(), Phase::Exited(_));
        if is_cut && !has_ended && self.ends() {
            return self.handle(Ready::Init);
        }
        let Some(guest) = self.system.guest() else { return };
        if is_cut && !has_ended {
            guest.give_up_start();
        }
        for guest::Told { of, what } in guest.take_told() {
            // The end is the answer, and says more.
            let is_of_end = |what: &What| matches!(what, What::Settled(_, Err(error)) if error.cause == Cause::ConnectionClosed);
            if has_ended && is_of_end(&what) {
                continue;
            }
            if of != NULL_ID {
                if let Some(hosted) = self.hosted.get_mut(&of)
                    && hosted.tell(&of, self.system.guest(), what).is_err()
                {
                    hosted.connection = None;
                }
                continue;
            }
            match what {
                What::Settled(number, outcome) => {
                    let (answer, fds) =
                        outcome.unwrap_or_else(|error| (Answer::Failed(error.into()), Vec::new()));
                    // A hcsd that has gone meanwhile does not ask any more.
                    let _ = self.answer(number, answer, fds);
                }
                What::NotStarted(number, error) => {
                    let _ = self.answer(number, Answer::Failed(error.into()), Vec::new());
                    // A machine that nobody can reach is of no use to who wanted to reach it.
                    if let Err(error) = self.system.terminate(Exit::TerminatedByService) {
                        hcs_core::complain!("hcs-worker: ending a machine that has not started: {error}");
                    }
                }
                What::Kept { process_id, most, pipes } => {
                    if let Err(error) = self.system.kept().keep(process_id, most, pipes) {
                        hcs_core::complain!("hcs-worker: {error}");
                    }
                }
                What::ProcessEnded(record) => self.notify(Notice::ProcessExited(record)),
                What::Closed => self.notify(Notice::GuestConnectionClosed),
                What::Met => {
                    if let Some(guest) = self.system.guest() {
                        let made = self.hosted.iter().filter(|(_, hosted)| hosted.is_made());
                        made.for_each(|(id, _)| guest.look_for_container(id));
                    }
                }
                What::Ended(_) => {}
            }
        }
    }

    /// Whether the machine ends, whose port is gone: that is seen a moment before its end.
    fn ends(&self) -> bool {
        let init = self.system.init();
        let until = Some(Instant::now() + ENDS);
        init.is_some_and(|init| ready::until(init, PollFlags::IN, until).is_ok_and(|ready| !ready.is_empty()))
    }

    fn notify(&mut self, notice: Notice) {
        if let Some(connection) = self.connection.as_mut().filter(|connection| connection.greeted)
            && connection.send(&FromWorker::Notice(notice), Vec::new()).is_err()
        {
            self.connection = None;
        }
    }

    /// The system has ended: the last words of its processes were said before, in [`Worker::wait`]'s order.
    fn ended(&mut self, notice: Notice) {
        let left: Vec<u32> = self.system.processes().living().map(|(process_id, _)| process_id).collect();
        for process_id in left {
            if let Some(notice) = self.system.process_ended(process_id) {
                self.notify(notice);
            }
        }
        if let Some(guest) = self.system.guest() {
            guest.cut();
        }
        self.hear_guest();
        // Those in it are told before.
        for hosted in self.hosted.values_mut() {
            if hosted.end(Exit::HostEnded).is_err() {
                hosted.connection = None;
            }
        }
        // It says more than who has asked for the end knows.
        self.notify(notice);
        for number in std::mem::take(&mut self.waiting_for_end) {
            let _ = self.answer(number, Answer::Done, Vec::new());
        }
    }
}

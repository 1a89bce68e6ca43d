//! A container in the machine, as hcsd knows it: a system of its own, with a connection of its own to the worker of its
//! machine. What is done for it is done by the agent there.

use hcs_core::{Cause, Error, Exit};
use hcs_ipc::worker::{Answer, FromWorker, Notice, Numbered, Phase, Request, Welcome};
use serde_json::Value;

use crate::{
    connection::{Broken, Connection},
    guest::{Guest, What},
    kept::Kept,
    requests::{self, Answered, parse},
};

/// A container.
pub struct Hosted {
    /// Its hcsd.
    pub connection: Option<Connection>,
    phase: Phase,
    /// Why it comes to its end.
    ending: Option<Exit>,
    waiting_for_end: Vec<u64>,
    /// The requests that move it on, and where to.
    moves: Vec<(u64, Phase)>,
    /// hcsd knows how it has ended.
    released: bool,
    /// What its processes have said.
    pub kept: Kept,
}

impl Hosted {
    /// Nothing yet.
    pub fn new() -> Hosted {
        Hosted {
            connection: None,
            phase: Phase::Idle,
            ending: None,
            waiting_for_end: Vec::new(),
            moves: Vec::new(),
            released: false,
            kept: Kept::default(),
        }
    }

    /// Whether nobody will ask for it any more: a hcsd that has gone comes back only for what it had, and had not given up.
    pub fn is_forgotten(&self) -> bool {
        let is_ended = self.ending.as_ref().is_some_and(|exit| *exit != Exit::ShutDownByClient);
        self.released || self.connection.is_none() && (self.phase == Phase::Idle || is_ended)
    }

    /// Whether it should be there.
    pub fn is_made(&self) -> bool {
        matches!(self.phase, Phase::Created | Phase::Running | Phase::Paused)
    }

    /// Whether nothing of it is left in the machine.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Exited(_))
    }

    /// Says who is there.
    pub fn greet(&mut self, id: &str, version: u32, guest: Option<&Guest>) -> Result<(), Broken> {
        let welcome = Welcome {
            version: Some(version),
            pid: std::process::id(),
            phase: self.phase.clone(),
            processes: guest.map(|guest| guest.records(id)).unwrap_or_default(),
        };
        self.connection.as_mut().ok_or(Broken)?.send(&welcome, Vec::new())
    }

    /// Takes what hcsd asks.
    pub fn serve(&mut self, id: &str, mut guest: Option<&mut Guest>) -> Result<(), Broken> {
        let connection = self.connection.as_mut().ok_or(Broken)?;
        connection.flush()?;
        for message in connection.receive()? {
            let Numbered { number, body } = serde_json::from_slice(&message.text).map_err(|_| Broken)?;
            if matches!(body, Request::Release) {
                self.released = true;
                return Ok(());
            }
            let answered = match guest.as_deref_mut() {
                Some(guest) => self.act(id, guest, number, &body),
                None => Err(Cause::SystemAlreadyStopped.into()),
            };
            match answered {
                Ok(Answered::Now(answer, fds)) => self.answer(number, answer, fds)?,
                Ok(Answered::AtTheEnd) => self.waiting_for_end.push(number),
                Ok(Answered::Later) => {}
                Err(error) => self.answer(number, Answer::Failed(error.into()), Vec::new())?,
            }
        }
        Ok(())
    }

    fn answer(&mut self, number: u64, body: Answer, fds: Vec<std::os::fd::OwnedFd>) -> Result<(), Broken> {
        let reply = FromWorker::Reply(Numbered { number, body });
        self.connection.as_mut().ok_or(Broken)?.send(&reply, fds)
    }

    fn act(
        &mut self,
        id: &str,
        guest: &mut Guest,
        number: u64,
        request: &Request,
    ) -> Result<Answered, Error> {
        if matches!(self.phase, Phase::Exited(_)) && !matches!(request, Request::Terminate { .. }) {
            return Err(Cause::SystemAlreadyStopped.into());
        }
        match request {
            Request::CreateHosted { document } => {
                if !guest.is_connected() {
                    let detail = "the agent of the hosting machine is not there";
                    return Err(Error::new(Cause::InvalidState, detail).at("$.HostingSystemId"));
                }
                guest.create_container(id, number, parse::<Value>(document)?)?;
                self.moves.push((number, Phase::Created));
            }
            Request::Start => {
                guest.start_container(id, number)?;
                self.moves.push((number, Phase::Running));
            }
            Request::ShutDown { grace_milliseconds } => {
                guest.shut_container_down(id, number, *grace_milliseconds)?;
                self.ending.get_or_insert(Exit::ShutDownByClient);
            }
            Request::Terminate { exit } => {
                self.ending = Some(exit.clone());
                let is_there = !matches!(self.phase, Phase::Idle | Phase::Exited(_));
                if is_there && guest.kill_container(id).is_ok() {
                    return Ok(Answered::AtTheEnd);
                }
                // Who cannot be reached is ended when it can.
                guest.abandon_container(id);
                self.phase = Phase::Exited(exit.clone());
                return Ok(Answered::Now(Answer::Done, Vec::new()));
            }
            Request::Pause | Request::Resume => {
                let to = if matches!(request, Request::Pause) { Phase::Paused } else { Phase::Running };
                guest.forward(id, number, request)?;
                self.moves.push((number, to));
            }
            Request::Change { .. } => guest.forward(id, number, request)?,
            Request::Output { process_id, follow } => {
                let end = self.kept.hand_out(*process_id, *follow)?;
                return Ok(Answered::Now(Answer::Output, vec![end]));
            }
            Request::Statistics => guest.properties(id, number, "Statistics")?,
            Request::Memory => guest.properties(id, number, "Memory")?,
            other => {
                let done = requests::of_place(guest, id, number, other)?;
                return done.ok_or_else(|| {
                    Error::new(Cause::NotSupported, "a container in a machine has no such thing")
                });
            }
        }
        Ok(Answered::Later)
    }

    /// Something was told of it.
    pub fn tell(&mut self, id: &str, guest: Option<&mut Guest>, what: What) -> Result<(), Broken> {
        match what {
            What::Settled(number, outcome) => {
                if let Some(at) = self.moves.iter().position(|(moving, _)| *moving == number) {
                    let (_, phase) = self.moves.remove(at);
                    if outcome.is_ok() {
                        self.phase = phase;
                    }
                }
                let (answer, fds) =
                    outcome.unwrap_or_else(|error| (Answer::Failed(error.into()), Vec::new()));
                self.answer(number, answer, fds)
            }
            What::Kept { process_id, most, pipes } => {
                if let Err(error) = self.kept.keep(process_id, most, pipes) {
                    hcs_core::complain!("hcs-worker: {error}");
                }
                Ok(())
            }
            What::ProcessEnded(record) => self.notify(Notice::ProcessExited(record)),
            What::Ended(exit) => {
                if let Some(guest) = guest {
                    guest.abandon_container(id);
                }
                self.end(exit)
            }
            What::NotStarted(..) | What::Met | What::Closed => Ok(()),
        }
    }

    /// It has ended, or its machine has.
    pub fn end(&mut self, exit: Exit) -> Result<(), Broken> {
        if matches!(self.phase, Phase::Exited(_)) {
            return Ok(());
        }
        let exit = self.ending.take().unwrap_or(exit);
        self.phase = Phase::Exited(exit.clone());
        self.kept.finish();
        for number in std::mem::take(&mut self.waiting_for_end) {
            self.answer(number, Answer::Done, Vec::new())?;
        }
        self.notify(Notice::SystemExited(exit))
    }

    fn notify(&mut self, notice: Notice) -> Result<(), Broken> {
        match &mut self.connection {
            Some(connection) => connection.send(&FromWorker::Notice(notice), Vec::new()),
            // A later hcsd is told when it comes.
            None => Ok(()),
        }
    }
}

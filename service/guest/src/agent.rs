//! The loop of the agent: what carries streams to the host, the bridge among them, the workers, and what all of them say.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error, Exit, ready};
use hcs_gcs::{
    code,
    guest::{self, Failure, Guest, Heard, Question},
    records::{BRIDGE_PORT, Capabilities, NULL_ID, Nothing, SchemaVersion, TAKES_PLANS, Waited},
};
use hcs_ipc::worker::{Notice, Request};
use hcs_mux::{Event, Stream};
use hcs_worker::carrier::{Carrier, Cut, Port, Sockets, Told, Which};
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
};
use serde::Serialize;
use serde_json::json;

use crate::{
    failure::failure,
    log::Log,
    place::{Awaited, Mother, Place, Said},
    port,
    resources::Resources,
    vsock,
};

/// The folder of its cgroups.
pub const CGROUP_PARENT: &str = "hcs-guest";

/// How soon the host is called again that has hung up.
const AGAIN: Duration = Duration::from_millis(100);

/// The agent.
pub struct Agent {
    pub(crate) carrier: Box<dyn Carrier>,
    /// The machine had no port when the agent began.
    has_no_port: bool,
    /// The stream of the bridge, and what is said there.
    bridge: Option<(Stream, Guest)>,
    /// When the host is called again.
    again: Option<Instant>,
    pub(crate) mother: Mother,
    /// By the id of the container; the null id is the machine itself.
    pub(crate) places: BTreeMap<String, Place>,
    /// Containers that are to be forgotten when their end was told.
    pub(crate) to_forget: VecDeque<String>,
    /// What the host has added to the machine.
    pub(crate) resources: Resources,
    log: Log,
}

/// What became ready, by the thing that waited.
enum Ready {
    Port(Which),
    Place(String),
    Mother,
    Log,
}

/// Runs until the port is gone.
pub fn run() -> Result<(), Error> {
    // It was run by a link, which would otherwise be what process lists show.
    let _ = rustix::thread::set_name(c"hcs-guest");
    // It must be made before anything is open that it is not to have.
    let mut mother = Mother::make()?;
    // Not so its workers, from whom processes have it.
    hcs_container::attributes::let_others_finish();
    let log = Log::begin()?;
    let (carrier, has_no_port) = carrier()?;
    hcs_container::container::remove_all_leftovers(CGROUP_PARENT)?;
    let first = Request::CreateBare { cgroup_parent: CGROUP_PARENT.to_owned(), name: NULL_ID.to_owned() };
    let mut machine = Place::make(&mut mother, first, Awaited::Nothing)?;
    machine.ask(Request::Start, Awaited::Nothing)?;
    let places = BTreeMap::from([(NULL_ID.to_owned(), machine)]);
    let mut agent = Agent {
        carrier,
        has_no_port,
        bridge: None,
        again: None,
        mother,
        places,
        to_forget: VecDeque::new(),
        resources: Resources::default(),
        log,
    };
    let mut outcome = agent.attend();
    loop {
        if let Err(Cut) = outcome {
            return Err(Error::new(Cause::ConnectionClosed, "the way to the host is another, or gone"));
        }
        outcome = agent.turn()?;
    }
}

/// What carries streams to the host: its port, or sockets where there is none.
fn carrier() -> Result<(Box<dyn Carrier>, bool), Error> {
    let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), "preparing the port");
    if !port::is_there() && vsock::is_there() {
        return Ok((Box::new(Sockets::guest(Box::new(vsock::call))), true));
    }
    Ok((Box::new(Port::guest(port::open()?).map_err(failed)?), false))
}

/// What the agent can do.
fn capabilities() -> Capabilities {
    let can = json!({
        "NamespaceAddRequestSupported": true, "SignalProcessSupported": true, "DumpStacksSupported": true,
        "DeleteContainerStateSupported": true, TAKES_PLANS: true,
    });
    Capabilities {
        supported_schema_versions: vec![SchemaVersion { major: 2, minor: 1 }],
        runtime_os_type: "Linux".to_owned(),
        guest_defined_capabilities: can.as_object().cloned().unwrap_or_default(),
        ..Capabilities::default()
    }
}

impl Agent {
    /// Waits once and does all that can be done.
    fn turn(&mut self) -> Result<Result<(), Cut>, Error> {
        let ready = self.wait().map_err(|errno| Error::from_errno(errno.raw_os_error(), "waiting"))?;
        for ready in ready {
            if let Err(Cut) = self.handle(ready) {
                return Ok(Err(Cut));
            }
        }
        if self.again.take_if(|at| *at <= Instant::now()).is_some() {
            if self.has_no_port && port::is_there() {
                // Another agent finds it.
                return Ok(Err(Cut));
            }
            self.call();
        }
        Ok(self.tell_of_the_dead().and_then(|()| self.tell_of_containers()))
    }

    fn wait(&self) -> Result<Vec<Ready>, Errno> {
        let (mut who, mut fds) = (Vec::new(), Vec::new());
        for (which, fd, wanted) in self.carrier.interest() {
            who.push(Ready::Port(which));
            fds.push(PollFd::from_borrowed_fd(fd, wanted));
        }
        for (id, place) in &self.places {
            let Some((fd, has_unsent)) = place.as_fd() else { continue };
            let wanted = if has_unsent { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            who.push(Ready::Place(id.clone()));
            fds.push(PollFd::from_borrowed_fd(fd, wanted));
        }
        who.push(Ready::Mother);
        fds.push(PollFd::from_borrowed_fd(self.mother.readable(), PollFlags::IN));
        who.push(Ready::Log);
        fds.push(PollFd::from_borrowed_fd(self.log.readable(), PollFlags::IN));
        ready::any_until(&mut fds, self.again)?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        Ok(who.into_iter().zip(ready).filter_map(|(who, ready)| ready.then_some(who)).collect())
    }

    fn handle(&mut self, ready: Ready) -> Result<(), Cut> {
        match ready {
            Ready::Port(which) => {
                self.carrier.ready(which)?;
                self.attend()
            }
            Ready::Place(id) => self.hear_place(&id),
            Ready::Mother => {
                // Without it no container can be made, so another agent begins anew.
                self.mother.hear().map_err(|_| Cut)
            }
            Ready::Log => self.log.pass_on(&mut *self.carrier),
        }
    }

    /// Takes what the carrier tells.
    fn attend(&mut self) -> Result<(), Cut> {
        while let Some(told) = self.carrier.next_told() {
            if let Told::Happened(event) = told {
                self.happened(event)?;
            }
        }
        Ok(())
    }

    fn happened(&mut self, event: Event) -> Result<(), Cut> {
        match event {
            Event::Begun => {
                self.call();
                self.log.connect(&mut *self.carrier);
                Ok(())
            }
            Event::Lost => {
                self.hang_up();
                self.again = None;
                self.log.disconnect();
                Ok(())
            }
            Event::Data(stream, bytes) => self.hear_host(stream, &bytes),
            Event::Ended(stream) | Event::Gone(stream) => {
                self.log.forget(stream);
                self.carrier.reset(stream);
                if self.bridge.as_ref().is_some_and(|(own, _)| *own == stream) {
                    self.hang_up();
                    self.again = Some(Instant::now() + AGAIN);
                }
                Ok(())
            }
            // A host opens no streams.
            Event::Wanted(stream, _) => {
                self.carrier.reset(stream);
                Ok(())
            }
            Event::Opened(_) => Ok(()),
        }
    }

    /// Calls the host; it speaks first.
    fn call(&mut self) {
        match self.carrier.open(BRIDGE_PORT) {
            Some(stream) => {
                self.carrier.join_talk(stream);
                self.bridge = Some((stream, Guest::new(capabilities())));
            }
            None => self.again = Some(Instant::now() + AGAIN),
        }
    }

    /// The stream of the bridge, when there is one.
    pub(crate) fn stream(&self) -> Option<Stream> {
        self.bridge.as_ref().map(|(stream, _)| *stream)
    }

    fn hang_up(&mut self) {
        self.bridge = None;
        self.places.values_mut().for_each(|place| place.processes.forget_waiting());
    }

    fn hear_host(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Cut> {
        let Some((_, guest)) = self.bridge.as_mut().filter(|(own, _)| *own == stream) else { return Ok(()) };
        guest.push(bytes);
        while let Some((_, guest)) = &mut self.bridge {
            match guest.hear() {
                Ok(None) => break,
                Ok(Some(Heard::Answered(answer))) => self.carrier.say(stream, &answer)?,
                Ok(Some(Heard::Question(question))) => self.asked(question)?,
                Err(error) => {
                    hcs_core::complain!("hcs-guest: the host cannot be understood: {error}");
                    self.carrier.reset(stream);
                    self.hang_up();
                    self.again = Some(Instant::now() + AGAIN);
                }
            }
        }
        Ok(())
    }

    /// Answers a question of the host, unless it has gone meanwhile.
    pub(crate) fn answer<T: Serialize>(
        &mut self,
        question: &Question,
        outcome: Result<T, Error>,
    ) -> Result<(), Cut> {
        self.answer_or_fail(question, outcome.map_err(failure))
    }

    /// The same, with a failure in the words of the bridge.
    pub(crate) fn answer_or_fail<T: Serialize>(
        &mut self,
        question: &Question,
        outcome: Result<T, Failure>,
    ) -> Result<(), Cut> {
        let Some((stream, _)) = &self.bridge else { return Ok(()) };
        match guest::answer(question, outcome) {
            Ok(bytes) => self.carrier.say(*stream, &bytes),
            Err(error) => {
                hcs_core::complain!("hcs-guest: an answer cannot be written: {error}");
                Ok(())
            }
        }
    }

    fn hear_place(&mut self, id: &str) -> Result<(), Cut> {
        let Some(place) = self.places.get_mut(id) else { return Ok(()) };
        let Ok(said) = place.hear() else { return self.lose_place(id) };
        for said in said {
            match said {
                Said::Answer(awaited, answer, fds) => self.answered(id, awaited, answer, fds)?,
                Said::Notice(Notice::ProcessExited(record)) => {
                    let Some(exit) = record.exit else { continue };
                    if let Some(place) = self.places.get_mut(id) {
                        place.processes.ended(record.process_id, exit);
                    }
                    self.init_ended(id, record.process_id, exit.code)?;
                }
                Said::Notice(Notice::SystemExited(exit)) => self.container_ended(id, exit),
                Said::Notice(_) => {}
            }
        }
        Ok(())
    }

    /// A worker is gone, and everything in its place.
    pub(crate) fn lose_place(&mut self, id: &str) -> Result<(), Cut> {
        hcs_core::complain!("hcs-guest: the worker of {id} is gone");
        match id {
            // Another agent begins anew.
            NULL_ID => Err(Cut),
            _ => {
                self.container_ended(id, Exit::WorkerDied { code: None });
                let Some(place) = self.places.get_mut(id) else { return Ok(()) };
                let gone = Failure::new(code::FAILED, "the container's worker is gone");
                for question in place.lose().filter_map(Awaited::into_question) {
                    self.answer_or_fail::<Nothing>(&question, Err(gone.clone()))?;
                }
                Ok(())
            }
        }
    }

    /// Tells who waits for a process that has ended, when everything that it has said was sent.
    fn tell_of_the_dead(&mut self) -> Result<(), Cut> {
        let carrier = &self.carrier;
        let settled: Vec<_> = self
            .places
            .values_mut()
            .flat_map(|place| place.processes.settled(|stream| carrier.is_drained(stream)))
            .collect();
        for (question, exit) in settled {
            let waited = Waited { exit_code: exit.code, out_of_memory: exit.out_of_memory };
            self.answer(&question, Ok(waited))?;
        }
        Ok(())
    }
}

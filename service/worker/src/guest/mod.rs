//! The guest of a virtual machine, as its worker knows it: the bridge to the agent there, and the processes that were
//! started by it.
//!
//! Nothing here waits. What is asked of the agent is answered when it answers, under the number of hcsd's request
//! ([`Told::Settled`]); what it tells by itself is told on. The agent may be gone and come back at any time: then every
//! question is answered with that, and the processes are asked for again.

mod containers;
mod identity;
mod parameters;
mod processes;
mod questions;

use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error, Exit, random};
use hcs_gcs::{
    host::Host,
    records::{BRIDGE_PORT, Capabilities, ENTROPY, ENTROPY_PORT, LOG_PORT, NULL_ID},
};
use hcs_ipc::worker::{Answer, ProcessRecord};
use hcs_machine::Machine;
use hcs_mux::{Event, Stream};
use hcs_schema::{GuestConnectionInfo, Version};
use rustix::pipe::PipeFlags;

use self::{identity::Name, processes::GuestProcess, questions::Question};
use crate::carrier::{self, Carrier, Cut, Interest, Port, Sockets, Which};

/// Something to be told.
pub struct Told {
    /// Of which container; the null id is the machine.
    pub of: String,
    /// What.
    pub what: What,
}

/// What is told.
pub enum What {
    /// What was asked under this number is done, or is not.
    Settled(u64, Result<(Answer, Vec<OwnedFd>), Error>),
    /// The start under this number has failed: nobody can reach the machine.
    NotStarted(u64, Error),
    /// What a process that has just been started says at these pipes is to be kept.
    Kept {
        /// Its id.
        process_id: u32,
        /// How many bytes.
        most: u64,
        /// The reading ends of its output and its errors.
        pipes: [Option<OwnedFd>; 2],
    },
    /// A process has ended.
    ProcessEnded(ProcessRecord),
    /// A container has ended.
    Ended(Exit),
    /// The agent is there, for the first time or again.
    Met,
    /// The connection to the agent is gone.
    Closed,
}

/// The guest.
pub struct Guest {
    name: Name,
    carrier: Box<dyn Carrier>,
    /// Whether nobody but an agent of this house can be there.
    is_private: bool,
    bridge: Option<Bridge>,
    /// What the agent has said of itself, since it was there for the first time.
    capabilities: Option<Capabilities>,
    /// The start of the machine, which waits for the agent until then.
    start: Option<(u64, Instant)>,
    /// The machine is to end. An agent that is gone before it has done it leaves it to the next.
    is_to_end: bool,
    /// By the container that they are in, and their number there.
    processes: BTreeMap<Key, GuestProcess>,
    ended: VecDeque<Key>,
    /// Containers that are to be forgotten when the agent is back.
    abandoned: Vec<String>,
    /// Pipes that wait at a port for the agent to take their streams.
    offered: BTreeMap<u32, processes::End>,
    /// Streams that were taken, by the port.
    streams: BTreeMap<u32, Stream>,
    next_port: u32,
    /// Who logs, and what they have logged and not ended the line of.
    logs: BTreeMap<Stream, Vec<u8>>,
    /// How many lines more are told, of those that may be told since then.
    lines: (Instant, u32),
    told: Vec<Told>,
    /// Its machine is about to end.
    is_cut: bool,
}

/// A container, the null id being the machine, and a process in it.
type Key = (String, u32);

/// How many may log at a time.
const MOST_LOGS: usize = 8;
/// How many lines that a guest logs are told in how long.
const MOST_LINES: u32 = 200;
const SPAN: Duration = Duration::from_secs(10);

/// A conversation with the agent.
struct Bridge {
    stream: Stream,
    host: Host,
    questions: BTreeMap<u64, Question>,
}

/// Listens in the folder of a machine's sockets for its agent. The log and the random bytes are left to others who listen there
/// already.
pub fn listen(folder: &Path) -> Result<Sockets, Error> {
    let mut sockets = Sockets::host(folder)?;
    for port in [BRIDGE_PORT, LOG_PORT, ENTROPY_PORT] {
        match sockets.listen(port) {
            Err(error) if error.cause == Cause::InUse && port != BRIDGE_PORT => {}
            listens => listens.map_err(|error| error.at("$.VirtualMachine.GuestConnection.UseVsock"))?,
        }
    }
    Ok(sockets)
}

impl Guest {
    /// The guest of a machine, behind this port. The start of the machine waits for the agent.
    pub fn at_port(port: OwnedFd, start: u64, machine: &Machine) -> Result<Guest, Error> {
        let port = Port::host(port)
            .map_err(|errno| Error::from_errno(errno.raw_os_error(), "preparing the port of the guest"))?;
        let until = Instant::now() + machine.guest_patience();
        Ok(Guest::new(Box::new(port), true, (start, until), Name::of(machine)))
    }

    /// The guest of a machine, whose agent calls at these sockets. The start of the machine waits for it.
    pub fn at_sockets(sockets: Sockets, start: u64, machine: &Machine) -> Guest {
        let until = Instant::now() + machine.guest_patience();
        Guest::new(Box::new(sockets), false, (start, until), Name::of(machine))
    }

    fn new(carrier: Box<dyn Carrier>, is_private: bool, start: (u64, Instant), name: Name) -> Guest {
        Guest {
            name,
            carrier,
            is_private,
            bridge: None,
            capabilities: None,
            start: Some(start),
            is_to_end: false,
            processes: BTreeMap::new(),
            ended: VecDeque::new(),
            abandoned: Vec::new(),
            offered: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_port: BRIDGE_PORT + 1,
            logs: BTreeMap::new(),
            lines: (Instant::now(), MOST_LINES),
            told: Vec::new(),
            is_cut: false,
        }
    }

    /// What is to be polled.
    pub fn interest(&self) -> Interest<'_> {
        self.carrier.interest()
    }

    /// When the start of the machine waits no longer.
    pub fn deadline(&self) -> Option<Instant> {
        self.start.map(|(_, until)| until)
    }

    /// It is that late: the start may have failed.
    pub fn expire(&mut self) {
        let Some((number, _)) = self.start.take_if(|(_, until)| *until <= Instant::now()) else { return };
        let detail = "the guest's agent has not connected";
        let error = Error::new(Cause::ConnectionTimeout, detail)
            .at("$.VirtualMachine.GuestConnection")
            .hint(match self.is_private {
                true => "See that hcs-guest runs in the guest; what its kernel says is at ComPorts.",
                false => "See that an agent runs in the guest and that its kernel has vsock for virtio; what it says is at ComPorts.",
            });
        self.tell(NULL_ID, What::NotStarted(number, error));
    }

    /// Something can be done there.
    pub fn ready(&mut self, which: Which) {
        // A port that is gone is gone with its machine, whose end is seen elsewhere.
        if self.carrier.ready(which).is_err() {
            return self.cut();
        }
        while let Some(told) = self.carrier.next_told() {
            match told {
                carrier::Told::Happened(event) => self.happened(event),
                carrier::Told::Parted(_) => {}
            }
        }
    }

    fn tell(&mut self, of: &str, what: What) {
        self.told.push(Told { of: of.to_owned(), what });
    }

    /// What is to be told since the last time.
    pub fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// Whether nothing comes from the guest since the last time this was asked.
    pub fn take_cut(&mut self) -> bool {
        std::mem::take(&mut self.is_cut)
    }

    /// No agent comes any more that the start of the machine could wait for.
    pub fn give_up_start(&mut self) {
        if let Some((number, _)) = self.start.take() {
            self.tell(NULL_ID, What::NotStarted(number, closed()));
        }
    }

    /// Nothing comes from the guest any more.
    pub fn cut(&mut self) {
        self.is_cut = true;
        self.carrier.close();
        self.lose_bridge();
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Begun | Event::Opened(_) => {}
            Event::Lost => {
                self.offered.clear();
                self.streams.clear();
                self.logs.clear();
                self.lose_bridge();
            }
            // Every program of a guest can call. Who comes first is the agent, and another one only when it has hung up: then it
            // is called again, and that is heard.
            Event::Wanted(stream, BRIDGE_PORT) if self.bridge.is_none() => self.begin_bridge(stream),
            // The log of an agent that has died may still be held by others that it has started.
            Event::Wanted(stream, LOG_PORT) if self.logs.len() < MOST_LOGS => {
                self.logs.insert(stream, Vec::new());
                self.carrier.accept_talk(stream);
            }
            Event::Wanted(stream, ENTROPY_PORT) => match entropy() {
                Some(pipe) => self.carrier.accept_source(stream, pipe),
                None => self.carrier.reset(stream),
            },
            Event::Wanted(stream, port) => self.take_stream(stream, port),
            Event::Data(stream, bytes) if self.logs.contains_key(&stream) => self.note(stream, &bytes),
            Event::Data(stream, bytes) => self.hear(stream, &bytes),
            Event::Ended(stream) | Event::Gone(stream) => {
                if self.bridge.as_ref().is_some_and(|bridge| bridge.stream == stream) {
                    self.carrier.reset(stream);
                    self.lose_bridge();
                } else if self.logs.remove(&stream).is_some() {
                    self.carrier.reset(stream);
                }
            }
        }
    }

    /// Lines that the agent logs are the worker's, which are the service's.
    fn note(&mut self, stream: Stream, bytes: &[u8]) {
        /// A longer line is cut.
        const LONGEST: usize = 4096;
        let Some(logged) = self.logs.get_mut(&stream) else { return };
        logged.extend_from_slice(bytes);
        while let Some(end) = logged.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = logged.drain(..=end).collect();
            if self.lines.0.elapsed() >= SPAN {
                self.lines = (Instant::now(), MOST_LINES);
            }
            // A guest must not fill the disk of its host.
            let Some(left) = self.lines.1.checked_sub(1) else { continue };
            self.lines.1 = left;
            if left == 0 {
                hcs_core::complain!("hcs-worker: guest: says more than is told");
                continue;
            }
            hcs_core::complain!(
                "hcs-worker: guest: {}",
                String::from_utf8_lossy(&line).trim_end().escape_debug()
            );
        }
        logged.truncate(LONGEST);
    }

    /// The agent has connected.
    fn begin_bridge(&mut self, stream: Stream) {
        self.carrier.accept_talk(stream);
        match Host::begin() {
            Ok((host, hello)) => {
                self.bridge = Some(Bridge { stream, host, questions: BTreeMap::new() });
                self.say(stream, &hello);
                if self.is_private {
                    // An agent of this house need not be waited for in between.
                    self.introduce_ahead();
                }
            }
            Err(broken) => self.give_up(&broken.to_string()),
        }
    }

    fn say(&mut self, stream: Stream, bytes: &[u8]) {
        if let Err(Cut) = self.carrier.say(stream, bytes) {
            self.cut();
        }
    }

    /// The conversation makes no sense any more.
    fn give_up(&mut self, why: &str) {
        hcs_core::complain!("hcs-worker: the guest's agent cannot be understood: {why}");
        if let Some(bridge) = &self.bridge {
            self.carrier.reset(bridge.stream);
        }
        self.lose_bridge();
    }

    fn lose_bridge(&mut self) {
        let Some(bridge) = self.bridge.take() else { return };
        let was_there = bridge.host.is_negotiated();
        for question in bridge.questions.into_values() {
            self.fail(question, &closed());
        }
        if was_there {
            self.tell(NULL_ID, What::Closed);
        }
    }

    /// Whether the agent is there.
    pub fn is_connected(&self) -> bool {
        self.bridge.as_ref().is_some_and(|bridge| bridge.host.is_negotiated())
    }

    /// The property GuestConnection.
    pub fn info(&self) -> Result<GuestConnectionInfo, Error> {
        let Some(capabilities) = self.capabilities.as_ref().filter(|_| self.is_connected()) else {
            return Err(closed());
        };
        let versions = capabilities.supported_schema_versions.iter();
        Ok(GuestConnectionInfo {
            supported_schema_versions: Some(
                versions
                    .map(|version| Version { major: Some(version.major), minor: Some(version.minor) })
                    .collect(),
            ),
            protocol_version: Some(hcs_gcs::VERSION),
            guest_defined_capabilities: hcs_schema::Any::from_value(&capabilities.guest_defined_capabilities)
                .ok(),
        })
    }

    /// Asks the agent to end the machine. There is no answer but its end.
    pub fn ask_to_end(&mut self) -> Result<(), Error> {
        self.ask(hcs_gcs::Rpc::ShutdownGraceful, NULL_ID, hcs_gcs::records::Nothing {}, Question::Nobodys)?;
        self.is_to_end = true;
        Ok(())
    }
}

/// A pipe with random bytes and their end.
fn entropy() -> Option<OwnedFd> {
    let bytes = random::bytes::<ENTROPY>().ok()?;
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).ok()?;
    // So few always have their place in a pipe.
    rustix::io::write(write, &bytes).ok()?;
    Some(read)
}

fn closed() -> Error {
    Error::new(Cause::ConnectionClosed, "there is no connection to the guest's agent")
}

#[cfg(test)]
#[path = "stranger_tests.rs"]
mod tests;

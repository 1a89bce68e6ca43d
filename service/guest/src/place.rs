//! A worker, as the agent knows it: a place for processes. One is the machine itself, each container is another.
//!
//! Workers are copies of one that was made before the agent had anything open, as those of hcsd are. What is asked of one
//! that is not there yet waits in its connection.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use hcs_container::zygote::{self, Twin};
use hcs_core::{Cause, Error, Exit};
use hcs_gcs::guest::Question;
use hcs_ipc::{
    Message,
    worker::{Answer, FromWorker, Hello, Notice, Numbered, Request, VERSIONS, Welcome},
};
use hcs_mux::Stream;
use hcs_worker::{
    Worker,
    connection::{Broken, Connection},
};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::{containers::Container, processes::Processes};

/// The worker that makes the others.
pub struct Mother(Connection);

impl Mother {
    /// Makes it. This process must have nothing open that others are not to have.
    pub fn make() -> Result<Mother, Error> {
        zygote::prepare()?;
        let (ours, theirs) = pair()?;
        match zygote::twin()? {
            Twin::Old(_) => Ok(Mother(greeted(ours)?)),
            Twin::New => {
                drop(ours);
                let _ = rustix::process::setsid();
                let _ = rustix::thread::set_name(c"hcs-worker");
                let code = Worker::new(theirs).run().is_err();
                std::process::exit(i32::from(code))
            }
        }
    }

    /// Readable when it has said something.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.0.socket.as_fd()
    }

    /// Takes what it says; nothing of it matters. Without it no other worker can be made.
    pub fn hear(&mut self) -> Result<(), Broken> {
        self.0.receive().map(drop)
    }
}

fn pair() -> Result<(OwnedFd, OwnedFd), Error> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|errno| Error::from_errno(errno.raw_os_error(), "making a worker"))
}

/// A conversation in which it was said which versions are spoken.
fn greeted(socket: OwnedFd) -> Result<Connection, Error> {
    let mut connection = Connection::new(socket);
    connection
        .send(&Hello { versions: VERSIONS.to_vec(), hosted: None }, Vec::new())
        .map_err(|Broken| gone())?;
    Ok(connection)
}

fn gone() -> Error {
    Error::new(Cause::Unexpected, "a worker in the guest is gone")
}

/// What an answer of a worker is for.
pub enum Awaited {
    /// Nobody.
    Nothing,
    /// This is done or not.
    Act(Question),
    /// A process runs; its streams are under way.
    Process(Question, [Option<Stream>; 3]),
    /// Properties.
    Properties(Question),
    /// A container.
    Container(Question),
    /// The end of the container of this id.
    Ended(String, Exit),
}

impl Awaited {
    /// The question of the host that it is for.
    pub fn into_question(self) -> Option<Question> {
        match self {
            Awaited::Nothing | Awaited::Ended(..) => None,
            Awaited::Container(question)
            | Awaited::Act(question)
            | Awaited::Process(question, _)
            | Awaited::Properties(question) => Some(question),
        }
    }
}

/// What a worker has said.
pub enum Said {
    /// An answer, and what comes beside it.
    Answer(Awaited, Answer, Vec<OwnedFd>),
    /// Something has happened.
    Notice(Notice),
}

/// A place.
pub struct Place {
    /// None when its worker is gone.
    connection: Option<Connection>,
    is_greeted: bool,
    next: u64,
    awaited: BTreeMap<u64, Awaited>,
    /// What is known of the processes there.
    pub processes: Processes,
    /// What is known of the container that it is.
    pub container: Option<Container>,
    /// The host was told how it has ended.
    pub is_told: bool,
}

impl Place {
    /// Has a worker made, which begins with this.
    pub fn make(mother: &mut Mother, first: Request, awaited: Awaited) -> Result<Place, Error> {
        let (ours, theirs) = pair()?;
        let twin = Numbered { number: 0, body: Request::Twin };
        mother.0.send(&twin, vec![theirs]).map_err(|Broken| gone())?;
        let mut place = Place {
            connection: Some(greeted(ours)?),
            is_greeted: false,
            next: 1,
            awaited: BTreeMap::new(),
            processes: Processes::default(),
            container: None,
            is_told: false,
        };
        place.ask(first, awaited)?;
        Ok(place)
    }

    /// Asks something.
    pub fn ask(&mut self, body: Request, awaited: Awaited) -> Result<(), Error> {
        let number = self.next;
        self.next += 1;
        let connection = self.connection.as_mut().ok_or_else(gone)?;
        connection.send(&Numbered { number, body }, Vec::new()).map_err(|Broken| gone())?;
        self.awaited.insert(number, awaited);
        Ok(())
    }

    /// For the poll.
    pub fn as_fd(&self) -> Option<(BorrowedFd<'_>, bool)> {
        let connection = self.connection.as_ref()?;
        Some((connection.socket.as_fd(), connection.has_unsent()))
    }

    /// Takes what the worker has said.
    pub fn hear(&mut self) -> Result<Vec<Said>, Broken> {
        let connection = self.connection.as_mut().ok_or(Broken)?;
        connection.flush()?;
        let mut said = Vec::new();
        for message in connection.receive()? {
            said.extend(self.understand(message)?);
        }
        Ok(said)
    }

    fn understand(&mut self, message: Message) -> Result<Option<Said>, Broken> {
        if !self.is_greeted {
            serde_json::from_slice::<Welcome>(&message.text).map_err(|_| Broken)?;
            self.is_greeted = true;
            return Ok(None);
        }
        Ok(match serde_json::from_slice(&message.text).map_err(|_| Broken)? {
            FromWorker::Reply(Numbered { number, body }) => {
                self.awaited.remove(&number).map(|awaited| Said::Answer(awaited, body, message.fds))
            }
            FromWorker::Notice(notice) => Some(Said::Notice(notice)),
        })
    }

    /// Its worker is gone: what was asked and never will be answered.
    pub fn lose(&mut self) -> impl Iterator<Item = Awaited> + use<> {
        self.connection = None;
        std::mem::take(&mut self.awaited).into_values()
    }
}

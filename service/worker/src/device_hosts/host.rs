//! One application that is devices of the machine: its channel, the questions that are open there, and the devices that it is.
//! Nothing that it says is believed beyond its own devices, and who cannot be understood is given up.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use hcs_core::{Cause, Error};
use hcs_ipc::{
    Message,
    device_host::{Ask, FromHost, Said, ToHost, VERSION},
    worker::{Failure, Numbered},
};
use hcs_schema::Guid;
use rustix::{event::PollFlags, net::AddressFamily};

use crate::connection::{Broken, Connection};

/// The largest message of an application, but for what one read brings more.
pub const LARGEST: usize = 64 << 10;
/// How many questions a host may leave open.
pub const MOST_QUESTIONS: usize = 64;
/// How much of what an application says is kept, in characters.
const LONGEST_WORDS: usize = 1024;

/// An application.
pub struct Host {
    connection: Connection,
    /// It hosts only what is restricted.
    pub is_restricted: bool,
    /// The devices that it is, and their classes.
    pub devices: BTreeMap<Guid, Guid>,
    asked: u64,
    /// What it was asked and has not answered, or not been heard. It says nothing else by number.
    questions: BTreeMap<u64, Question>,
}

/// A question, by what has become of it.
enum Question {
    /// The answer is waited for. With it the host may be this device, of this class.
    Awaited(Option<(Guid, Guid)>),
    /// This is the answer.
    Answered(Said),
    /// The answer is not waited for any more.
    Late,
}

/// What an application has said, but for answers.
pub enum Heard {
    /// Nothing that anybody else has to know.
    Nothing,
    /// QEMU is at the other end of this socket, and the device at this one.
    Connected(Guid, OwnedFd),
    /// The device has failed; its class, and why.
    Broken(Guid, Guid, String),
}

impl Host {
    /// Greets an application at the other end of this socket.
    pub fn greet(socket: OwnedFd, is_restricted: bool) -> Result<Host, Broken> {
        let mut connection = Connection::new(socket);
        connection.send(&ToHost::Welcome { version: VERSION, is_restricted }, Vec::new())?;
        let (devices, questions) = (BTreeMap::new(), BTreeMap::new());
        Ok(Host { connection, is_restricted, devices, asked: 0, questions })
    }

    /// The channel, and what is to be waited for there.
    pub fn interest(&self) -> (BorrowedFd<'_>, PollFlags) {
        let wanted =
            if self.connection.has_unsent() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        (self.connection.socket.as_fd(), wanted)
    }

    /// It has not answered what nobody waits for any more.
    pub fn is_behind(&self) -> bool {
        self.questions.values().any(|question| matches!(question, Question::Late))
    }

    /// Whether the answer to this question is waited for.
    pub fn is_awaited(&self, number: u64) -> bool {
        matches!(self.questions.get(&number), Some(Question::Awaited(_)))
    }

    /// The answer to a question, for which nobody waits any longer; none if it is late.
    pub fn answer(&mut self, number: u64) -> Option<Said> {
        match self.questions.remove(&number) {
            Some(Question::Answered(said)) => Some(said),
            _ => {
                self.questions.insert(number, Question::Late);
                None
            }
        }
    }

    /// Says what is asked, under the number that the answer will have.
    pub fn say(&mut self, body: Ask, fds: Vec<OwnedFd>) -> Result<u64, Broken> {
        if self.questions.len() >= MOST_QUESTIONS {
            return Err(Broken);
        }
        self.asked += 1;
        let number = self.asked;
        let serves = match body {
            Ask::Serve { instance, class, .. } => Some((instance, class)),
            _ => None,
        };
        self.questions.insert(number, Question::Awaited(serves));
        self.connection.send(&ToHost::Ask(Numbered { number, body }), fds)?;
        Ok(number)
    }

    /// The same; nobody waits for the answer.
    pub fn say_by_the_way(&mut self, body: Ask) -> Result<(), Broken> {
        let number = self.say(body, Vec::new())?;
        self.questions.insert(number, Question::Late);
        Ok(())
    }

    /// Takes what it has said by now, as much as one read brings. What it said before it was to be given up counts.
    pub fn listen(&mut self) -> (Vec<Heard>, Result<(), Broken>) {
        let flushed = self.connection.flush();
        let (messages, mut outcome) = self.connection.receive_little(LARGEST);
        let mut heard = Vec::new();
        for message in messages {
            match self.take(message) {
                Ok(what) => heard.push(what),
                Err(Broken) => {
                    outcome = Err(Broken);
                    break;
                }
            }
        }
        (heard, flushed.and(outcome))
    }

    /// Takes a message. Answers that nobody has asked for are none, and so are descriptors.
    fn take(&mut self, message: Message) -> Result<Heard, Broken> {
        let said = serde_json::from_slice(&message.text).map_err(|_| Broken)?;
        if !matches!(said, FromHost::Connected { .. }) && !message.fds.is_empty() {
            return Err(Broken);
        }
        match said {
            FromHost::Reply(Numbered { number, body }) => match self.questions.remove(&number) {
                // One that comes late is heard, and that is all.
                Some(Question::Late) => Ok(Heard::Nothing),
                Some(Question::Awaited(serves)) => {
                    if let (Said::Done, Some((instance, class))) = (&body, serves) {
                        self.devices.insert(instance, class);
                    }
                    self.questions.insert(number, Question::Answered(body));
                    Ok(Heard::Nothing)
                }
                Some(Question::Answered(_)) | None => Err(Broken),
            },
            FromHost::Connected { instance } => {
                let [socket] = <[OwnedFd; 1]>::try_from(message.fds).map_err(|_| Broken)?;
                // Nothing else closes without anybody being waited for.
                let is_unix = rustix::net::sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX);
                match (is_unix, self.devices.contains_key(&instance)) {
                    (true, true) => Ok(Heard::Connected(instance, socket)),
                    (true, false) => Ok(Heard::Nothing),
                    (false, _) => Err(Broken),
                }
            }
            FromHost::Broken { instance, detail } => {
                for question in self.questions.values_mut() {
                    // It breaks before it is there.
                    if matches!(question, Question::Awaited(Some((other, _))) if *other == instance) {
                        *question = Question::Awaited(None);
                    }
                }
                let class = self.devices.remove(&instance);
                Ok(class.map_or(Heard::Nothing, |class| Heard::Broken(instance, class, tame(&detail))))
            }
        }
    }
}

/// The words of an application, as they may be shown and logged.
fn tame(words: &str) -> String {
    words.chars().filter(|character| !character.is_control()).take(LONGEST_WORDS).collect()
}

/// What an application has failed with: what it is no authority on is dropped.
pub fn tamed(failure: &Failure) -> Error {
    Error::new(Cause::from_name(&failure.cause).unwrap_or(Cause::Unexpected), tame(&failure.detail))
}

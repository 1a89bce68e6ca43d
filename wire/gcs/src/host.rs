//! The side of the host: it asks, counts its questions, and hears answers in any order, and what happens to containers between
//! them.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    VERSION, code,
    frame::{Decoder, FrameError, MOST_OF_HOST, encode},
    records::{Base, Negotiate, Negotiated, Notification, Request, Response},
    rpc::{Kind, MessageType, Rpc},
};

/// Why a conversation cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// What came are no messages.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The guest answers what nobody has asked.
    #[error("the guest answers a question {0} that is not open")]
    NotAsked(u64),
    /// The guest says what only a host says, or nothing that is known.
    #[error("the guest says {0:#010x}, which no guest says")]
    Unknown(u32),
    /// What the guest says cannot be read.
    #[error("the guest says what cannot be read: {0}")]
    Unreadable(String),
    /// Nothing can be asked before there is a version.
    #[error("there is no version yet in which the guest could be asked")]
    NotNegotiated,
}

/// Something that a guest has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An answer.
    Answer {
        /// To this question.
        id: u64,
        /// Which was this.
        rpc: Rpc,
        /// As JSON.
        body: Vec<u8>,
    },
    /// Something has happened to a container.
    Happened(Notification),
}

/// A conversation with a guest.
#[derive(Debug)]
pub struct Host {
    decoder: Decoder,
    next: u64,
    open: BTreeMap<u64, Rpc>,
    negotiated: bool,
}

impl Host {
    /// A new one, and its first message.
    pub fn begin() -> Result<(Host, Vec<u8>), Broken> {
        let mut host =
            Host { decoder: Decoder::new(MOST_OF_HOST), next: 0, open: BTreeMap::new(), negotiated: false };
        let versions = Negotiate { minimum_version: VERSION, maximum_version: VERSION };
        let (_, bytes) = host.write(Rpc::NegotiateProtocol, Base::about(""), versions)?;
        Ok((host, bytes))
    }

    /// Asks something of a container, or of the machine. The number of the question, and what is to be sent.
    pub fn ask(
        &mut self,
        rpc: Rpc,
        container_id: &str,
        body: impl Serialize,
    ) -> Result<(u64, Vec<u8>), Broken> {
        match self.negotiated {
            true => self.write(rpc, Base::about(container_id), body),
            false => Err(Broken::NotNegotiated),
        }
    }

    /// Asks before there is a version. For a guest that is known to answer in order: it has one when it hears this, or
    /// refuses.
    pub fn ask_ahead(
        &mut self,
        rpc: Rpc,
        container_id: &str,
        body: impl Serialize,
    ) -> Result<(u64, Vec<u8>), Broken> {
        self.write(rpc, Base::about(container_id), body)
    }

    fn write(&mut self, rpc: Rpc, base: Base, body: impl Serialize) -> Result<(u64, Vec<u8>), Broken> {
        let id = self.next;
        let bytes = encode(MessageType::request(rpc), id, &Request { base, body }, MOST_OF_HOST)?;
        self.next += 1;
        self.open.insert(id, rpc);
        Ok((id, bytes))
    }

    /// Something has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
    }

    /// The next that the guest has said.
    pub fn hear(&mut self) -> Result<Option<Heard>, Broken> {
        let Some(frame) = self.decoder.next_frame()? else { return Ok(None) };
        match frame.message.kind() {
            Some(Kind::Response) => {
                let rpc = self.open.remove(&frame.id).ok_or(Broken::NotAsked(frame.id))?;
                if rpc == Rpc::NegotiateProtocol {
                    let answer: Response<Negotiated> = read(&frame.body)?;
                    self.negotiated = answer.result == code::SUCCESS && answer.body.version == VERSION;
                }
                Ok(Some(Heard::Answer { id: frame.id, rpc, body: frame.body }))
            }
            Some(Kind::Notification) => Ok(Some(Heard::Happened(read(&frame.body)?))),
            Some(Kind::Request) | None => Err(Broken::Unknown(frame.message.0)),
        }
    }

    /// Whether there is a version.
    pub fn is_negotiated(&self) -> bool {
        self.negotiated
    }

    /// The questions that are open.
    pub fn open(&self) -> impl Iterator<Item = u64> + '_ {
        self.open.keys().copied()
    }
}

/// Reads what a message says.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Broken> {
    serde_json::from_slice(body).map_err(|error| Broken::Unreadable(error.to_string()))
}

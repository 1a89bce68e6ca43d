//! What may be said when, and what can be answered without the device.

use crate::{
    Broken, MOST_DATA,
    answer::{self, Region},
    broken,
    frame::{Header, Message},
    request::{Map, Request, Unmap, Version},
};

/// Why something is refused: it is not there, or it is not served.
pub const EINVAL: i32 = 22;
/// It is not served.
pub const ENOTSUP: i32 = 95;

/// How many regions a PCI device has here: six of its base addresses, its ROM, its configuration space, and what old graphics
/// cards have.
pub const REGIONS: usize = 9;
/// The number of the region that is the configuration space.
pub const CONFIG: u32 = 7;
/// How long the configuration space is.
pub const CONFIG_LENGTH: u64 = 4096;
/// How many kinds of interrupts there are. Of none the device has any: it writes its messages itself.
const IRQS: u32 = 5;

/// What a device looks like. It does not change while somebody is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Its base addresses.
    pub bars: [Region; 6],
}

impl Shape {
    fn region(&self, index: u32) -> Option<Region> {
        match index {
            0..=5 => Some(self.bars[index as usize].clone()),
            CONFIG => Some(Region { length: CONFIG_LENGTH, ..Region::default() }),
            index if (index as usize) < REGIONS => Some(Region::default()),
            _ => None,
        }
    }
}

/// Who is to be answered.
#[derive(Debug)]
pub struct Ticket(Header);

impl Ticket {
    /// An answer, unless none is wanted.
    fn wanted(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        (!self.0.wants_no_answer()).then_some(bytes)
    }

    /// It is done.
    pub fn done(&self) -> Option<Vec<u8>> {
        self.wanted(answer::answer(&self.0, &[]))
    }

    /// It is refused.
    pub fn refused(&self, errno: i32) -> Option<Vec<u8>> {
        self.wanted(answer::refusal(&self.0, errno))
    }

    /// This was read.
    pub fn read(&self, region: u32, offset: u64, data: &[u8]) -> Option<Vec<u8>> {
        self.wanted(answer::data(&self.0, region, offset, data))
    }

    /// It was written.
    pub fn written(&self, region: u32, offset: u64, length: usize) -> Option<Vec<u8>> {
        self.wanted(answer::written(&self.0, region, offset, length))
    }

    /// The memory has gone.
    pub fn unmapped(&self, memory: &Unmap) -> Option<Vec<u8>> {
        self.wanted(answer::unmapped(&self.0, memory))
    }
}

/// What is to be done about a message.
#[derive(Debug)]
pub enum Step {
    /// Say this, if it is something; beside it goes the file of this base address.
    Say(Option<Vec<u8>>, Option<usize>),
    /// The guest has memory.
    Map(Ticket, Map),
    /// It has it no more.
    Unmap(Ticket, Unmap),
    /// Read so much.
    Read {
        /// Who is answered.
        ticket: Ticket,
        /// From this region.
        region: u32,
        /// From there on.
        offset: u64,
        /// So much.
        length: usize,
    },
    /// Write this.
    Write {
        /// Who is answered.
        ticket: Ticket,
        /// To this region.
        region: u32,
        /// From there on.
        offset: u64,
        /// This.
        data: Vec<u8>,
    },
    /// Begin anew.
    Reset(Ticket),
}

/// A conversation.
#[derive(Debug)]
pub struct Session {
    shape: Shape,
    peer: Option<Version>,
}

impl Session {
    /// With a monitor that has just connected.
    pub fn new(shape: Shape) -> Session {
        Session { shape, peer: None }
    }

    /// The most data that the monitor takes at once.
    pub fn most_data(&self) -> usize {
        self.peer.as_ref().map_or(MOST_DATA, |peer| peer.most_data)
    }

    /// Takes a request. Answers to what the device has asked itself do not belong here.
    pub fn take(&mut self, message: Message) -> Result<Step, Broken> {
        let ticket = Ticket(message.header);
        let request = Request::read(message)?;
        let is_greeting = matches!(request, Request::Version(_));
        match (&self.peer, is_greeting) {
            (None, false) => return broken("a request before the greeting"),
            (Some(_), true) => return broken("a second greeting"),
            _ => {}
        }
        Ok(match request {
            Request::Version(version) => self.greet(&ticket, version)?,
            Request::Info => Step::Say(ticket.wanted(answer::info(&ticket.0, REGIONS as u32, IRQS)), None),
            Request::RegionInfo { index, room } => self.region(&ticket, index, room),
            Request::IrqInfo { index } if index < IRQS => {
                Step::Say(ticket.wanted(answer::irqs(&ticket.0, index, 0)), None)
            }
            // Nobody can be told by a descriptor of an interrupt that there is not; to have none of them is granted.
            Request::SetIrqs { index, count: 0 } if index < IRQS => Step::Say(ticket.done(), None),
            Request::IrqInfo { .. } | Request::SetIrqs { .. } => Step::Say(ticket.refused(EINVAL), None),
            Request::Map(memory) => Step::Map(ticket, memory),
            Request::Unmap(memory) => Step::Unmap(ticket, memory),
            Request::Read { region, offset, length } => match self.is_within(region, offset, length) {
                true => Step::Read { ticket, region, offset, length },
                false => Step::Say(ticket.refused(EINVAL), None),
            },
            Request::Write { region, offset, data } => match self.is_within(region, offset, data.len()) {
                true => Step::Write { ticket, region, offset, data },
                false => Step::Say(ticket.refused(EINVAL), None),
            },
            Request::Reset => Step::Reset(ticket),
            Request::Unknown => Step::Say(ticket.refused(ENOTSUP), None),
        })
    }

    fn greet(&mut self, ticket: &Ticket, version: Version) -> Result<Step, Broken> {
        if version.major != 0 {
            return broken(format!("version {}.{}, and 0 is spoken here", version.major, version.minor));
        }
        let said = answer::version(&ticket.0, &version);
        self.peer = Some(version);
        Ok(Step::Say(Some(said), None))
    }

    fn region(&self, ticket: &Ticket, index: u32, room: u32) -> Step {
        let Some(region) = self.shape.region(index) else { return Step::Say(ticket.refused(EINVAL), None) };
        let said = answer::region(&ticket.0, index, &region, room);
        let has_file = !region.areas.is_empty() && said.len() > answer::REGION;
        Step::Say(ticket.wanted(said), has_file.then_some(index as usize))
    }

    fn is_within(&self, region: u32, offset: u64, length: usize) -> bool {
        let end = offset.checked_add(length as u64);
        self.shape.region(region).zip(end).is_some_and(|(region, end)| end <= region.length)
    }
}

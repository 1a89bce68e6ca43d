//! The device as QEMU has it: its memory, its rings, and what is asked of it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hcs_core::ready;
use hcs_vhost::{
    Broken,
    message::{PROTOCOL_FEATURES, Request, VERSION_1, protocol},
    packet,
    ring::{Chain, Places, Ring},
};

use crate::memory::Guest;

/// The ring by which the guest hears.
pub const TO_GUEST: usize = 0;
/// The ring by which it speaks.
pub const FROM_GUEST: usize = 1;
/// With that of events, which QEMU has itself.
const RINGS: usize = 3;

/// The number of the guest. Guests know each other's only where they are told; here each is alone with its host.
pub const GUEST: u64 = 3;

/// The most parts of the memory.
const MOST_PARTS: usize = 64;

/// What there is of the device.
#[derive(Default)]
pub struct Device {
    memory: Guest,
    rings: [Slot; RINGS],
    chain: Chain,
    has_driver: bool,
}

/// A ring, and what is known of it before it is in use.
#[derive(Default)]
struct Slot {
    places: Places,
    /// From where it goes on.
    base: u16,
    /// From where it would have gone on when it was stopped.
    stopped_at: Option<u16>,
    is_enabled: bool,
    ring: Option<Ring>,
    kick: Option<OwnedFd>,
    call: Option<OwnedFd>,
    /// The driver has been given something that it was not told of yet.
    owes_call: bool,
}

impl Slot {
    /// The ring, while the driver uses it and the machine runs.
    fn in_use(&self) -> Option<&Ring> {
        self.ring.as_ref().filter(|_| self.is_enabled)
    }
}

/// What was done with a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// What is answered; nothing is not the same as an empty answer.
    pub answer: Option<Vec<u8>>,
    /// A driver begins, or goes on.
    pub begins: bool,
    /// It is another one, which knows of no connection.
    pub is_new_driver: bool,
}

impl Device {
    /// Does what QEMU asks.
    pub fn asked(&mut self, request: Request, mut files: Vec<OwnedFd>) -> Result<Done, Broken> {
        let mut done = Done::default();
        let number = |number: u64| Some(number.to_le_bytes().to_vec());
        match request {
            Request::GetFeatures => done.answer = number(VERSION_1 | PROTOCOL_FEATURES),
            Request::GetProtocolFeatures => done.answer = number(protocol::ALL),
            Request::GetRingCount => done.answer = number(RINGS as u64),
            Request::GetMemorySlots => done.answer = number(MOST_PARTS as u64),
            // What was not offered, or changes nothing here.
            Request::SetFeatures
            | Request::SetProtocolFeatures
            | Request::SetOwner
            | Request::SetError
            | Request::Other(_) => {}
            Request::SetMemory(regions) => {
                self.memory = Guest::map(&regions, &files).map_err(|_| Broken("the memory cannot be had"))?;
            }
            Request::AddMemory(region) => {
                if self.memory.parts() >= MOST_PARTS {
                    return Err(Broken("there are more parts of memory than any machine has"));
                }
                self.memory.add(region, &files).map_err(|_| Broken("a part of the memory cannot be had"))?;
            }
            Request::RemoveMemory(region) => self.memory.remove(region),
            Request::SetSize(ring, size) => {
                self.slot(ring)?.places.size =
                    u16::try_from(size).map_err(|_| Broken("a ring is larger than any"))?;
            }
            Request::SetPlaces { ring, descriptors, available, used } => {
                let place = |user| self.memory.guest_of(user).ok_or(Broken("a ring is where no memory is"));
                let (descriptors, available, used) = (place(descriptors)?, place(available)?, place(used)?);
                let size = self.slot(ring)?.places.size;
                self.slot(ring)?.places = Places { size, descriptors, available, used };
            }
            Request::SetBase(ring, base) => {
                let slot = self.slot(ring)?;
                slot.base = base;
                done.begins = true;
                // One that was not stopped, or goes on from elsewhere, is another's.
                let goes_on = slot.stopped_at.take().is_none_or(|stopped_at| stopped_at == base);
                done.is_new_driver = slot.ring.is_some() || !goes_on;
                if done.is_new_driver {
                    // Of the other rings nothing else can be said.
                    self.rings.iter_mut().for_each(|slot| (slot.ring, slot.stopped_at) = (None, None));
                }
            }
            Request::GetBase(ring) => {
                let slot = self.slot(ring)?;
                let base = slot.ring.take().map_or(slot.base, |ring| ring.base());
                (slot.base, slot.stopped_at) = (base, Some(base));
                (slot.kick, slot.call, slot.owes_call) = (None, None, false);
                let answer = [(ring as u32).to_le_bytes(), u32::from(base).to_le_bytes()];
                done.answer = Some(answer.concat());
            }
            Request::SetKick(ring, is_there) => {
                let kick = if is_there { files.pop() } else { None };
                let Device { memory, rings, .. } = self;
                let slot = rings.get_mut(ring).ok_or(NO_RING)?;
                if let Some(kick) = &kick {
                    ready::set_nonblocking(kick).map_err(|_| Broken("a ring has a bell that is none"))?;
                }
                slot.kick = kick;
                let base = slot.ring.as_ref().map_or(slot.base, Ring::base);
                slot.ring = Some(Ring::at(slot.places, base, memory)?);
                self.has_driver = true;
            }
            Request::SetCall(ring, is_there) => {
                let slot = self.slot(ring)?;
                slot.call = if is_there { files.pop() } else { None };
                // Whoever hears it now may have missed the last one.
                slot.owes_call = slot.ring.is_some();
            }
            Request::Enable(ring, is_enabled) => self.slot(ring)?.is_enabled = is_enabled,
            Request::GetConfiguration { offset, size, flags } => {
                let known = GUEST.to_le_bytes();
                let range = offset as usize..(offset as usize).saturating_add(size as usize);
                let mut answer = [offset, size, flags].map(u32::to_le_bytes).concat();
                // An answer without what was asked for says that there is no such thing.
                match known.get(range) {
                    Some(bytes) => answer.extend_from_slice(bytes),
                    None => answer.clear(),
                }
                done.answer = Some(answer);
            }
        }
        Ok(done)
    }

    fn slot(&mut self, ring: usize) -> Result<&mut Slot, Broken> {
        self.rings.get_mut(ring).ok_or(NO_RING)
    }

    /// Whether the driver uses the device, and the machine runs.
    pub fn runs(&self) -> bool {
        self.rings[..=FROM_GUEST].iter().all(|slot| slot.in_use().is_some())
    }

    /// Whether there was ever a driver.
    pub fn has_driver(&self) -> bool {
        self.has_driver
    }

    /// By what the driver tells of new buffers.
    pub fn bells(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let running = self.runs();
        self.rings[..=FROM_GUEST]
            .iter()
            .filter(move |_| running)
            .filter_map(|slot| Some(slot.kick.as_ref()?.as_fd()))
    }

    /// The bells have been heard.
    pub fn silence_bells(&self) {
        for bell in self.bells() {
            // Whether it has rung, the ring says.
            let _ = rustix::io::read(bell, &mut [0; 8]);
        }
    }

    /// What the guest says next: the header of a packet, and its bytes in `data`. None if it says nothing.
    pub fn hear(&mut self, data: &mut Vec<u8>) -> Result<Option<packet::Header>, Broken> {
        let Device { memory, rings, chain, .. } = self;
        let slot = &mut rings[FROM_GUEST];
        let Some(ring) = slot.ring.as_mut().filter(|_| slot.is_enabled) else { return Ok(None) };
        if !ring.look(memory, chain)? {
            return Ok(None);
        }
        let mut header = [0; packet::HEADER];
        if chain.read(memory, 0, &mut header)? < packet::HEADER {
            return Err(Broken("the guest says less than a packet is"));
        }
        let header = packet::Header::read(&header);
        if header.length as usize > chain.said() - packet::HEADER {
            return Err(Broken("the guest says less than its packet is said to be"));
        }
        data.resize(header.length as usize, 0);
        chain.read(memory, packet::HEADER, data)?;
        ring.give_back(memory, chain, 0)?;
        slot.owes_call = true;
        Ok(Some(header))
    }

    /// Whether the guest has said something that was not heard.
    pub fn has_said(&self) -> Result<bool, Broken> {
        self.rings[FROM_GUEST].in_use().map_or(Ok(false), |ring| ring.has_more(&self.memory))
    }

    /// How many bytes the next packet to the guest may have behind its header; none if the guest would hear none.
    pub fn room(&mut self) -> Result<Option<usize>, Broken> {
        let Device { memory, rings, chain, .. } = self;
        match rings[TO_GUEST].in_use() {
            Some(ring) if ring.look(memory, chain)? => match chain.room().checked_sub(packet::HEADER) {
                Some(room) => Ok(Some(room)),
                None => Err(Broken("the guest has given a buffer in which no packet has room")),
            },
            _ => Ok(None),
        }
    }

    /// Says a packet to the guest, who has [`Device::room`] for it.
    pub fn say(&mut self, header: &packet::Header, data: &[u8]) -> Result<(), Broken> {
        let Device { memory, rings, chain, .. } = self;
        let slot = &mut rings[TO_GUEST];
        let Some(ring) = slot.ring.as_mut() else { return Ok(()) };
        chain.write(memory, 0, &header.bytes())?;
        chain.write(memory, packet::HEADER, data)?;
        slot.owes_call = true;
        ring.give_back(memory, chain, packet::HEADER + data.len())
    }

    /// Tells the driver of what it was given back.
    pub fn call(&mut self) -> Result<(), Broken> {
        for slot in &mut self.rings {
            if !std::mem::take(&mut slot.owes_call) {
                continue;
            }
            if let (Some(ring), Some(call)) = (&slot.ring, &slot.call)
                && ring.wants_call(&self.memory)?
            {
                // One that was told and has not looked need not be told again.
                let _ = rustix::io::write(call, &1_u64.to_ne_bytes());
            }
        }
        Ok(())
    }
}

const NO_RING: Broken = Broken("QEMU speaks of a ring that there is not");

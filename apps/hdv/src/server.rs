//! What the guest does to a device: requests of the monitor become calls of the device, one after the other.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use hcs_vfio::session::{CONFIG, Session, Shape, Step};

use crate::{
    Bar, PciDevice,
    config::Config,
    handle::Core,
    link::{Link, Over},
    lock, reading,
    shape::Bars,
    writing,
};

/// A device that a monitor has.
pub(crate) struct Server<'a> {
    pub device: &'a dyn PciDevice,
    pub core: &'a Core,
    pub link: &'a Arc<Link>,
    /// The monitor is trusted not to make its files shorter.
    pub is_trusted: bool,
    /// The guest has reset the device while it ran.
    pub reset: &'a dyn Fn() -> Result<(), String>,
}

impl Server<'_> {
    /// Serves until somebody hangs up.
    pub fn run(&self, bars: Bars) -> Result<(), Over> {
        let (regions, files) = self.core.give_sections(bars.lengths());
        let mut session = Session::new(Shape { bars: regions });
        let mut config = Config::new(bars);
        let mut is_greeted = false;
        loop {
            let message = match self.link.request() {
                Err(Over::HungUp) => return Ok(()),
                request => request?,
            };
            let answer = match session.take(message)? {
                Step::Say(answer, file) => {
                    let file = file.and_then(|index| files[index].as_ref());
                    self.say(answer, file)?;
                    if !std::mem::replace(&mut is_greeted, true) {
                        self.link.greeted(session.most_data());
                    }
                    continue;
                }
                Step::Map(ticket, memory) => {
                    let mut guest = writing(&self.core.guest);
                    match guest.map(memory, self.is_trusted) {
                        Ok(()) => ticket.done(),
                        Err(errno) => ticket.refused(errno.raw_os_error()),
                    }
                }
                Step::Unmap(ticket, memory) => {
                    let mut guest = writing(&self.core.guest);
                    match guest.unmap(&memory) {
                        Ok(()) => ticket.unmapped(&memory),
                        Err(errno) => ticket.refused(errno.raw_os_error()),
                    }
                }
                Step::Read { ticket, region, offset, length } => {
                    let mut data = vec![0; length];
                    match region {
                        CONFIG => config.read(self.device, offset as u32, &mut data),
                        bar => self.read(bar, offset, &mut data),
                    }
                    ticket.read(region, offset, &data)
                }
                Step::Write { ticket, region, offset, data } => {
                    match region {
                        CONFIG => config.write(self.device, offset as u32, &data),
                        bar => self.write(bar, offset, &data),
                    }
                    ticket.written(region, offset, data.len())
                }
                Step::Reset(ticket) => {
                    if config.reset() {
                        (self.reset)().map_err(Over::Broken)?;
                    }
                    ticket.done()
                }
            };
            self.say(answer, None)?;
        }
    }

    fn say(&self, answer: Option<Vec<u8>>, file: Option<&OwnedFd>) -> Result<(), Over> {
        match answer {
            // Who has hung up is heard of with the next request.
            Some(bytes) => self.link.say(&bytes, file.map(AsFd::as_fd)).or(Ok(())),
            None => Ok(()),
        }
    }

    fn read(&self, bar: u32, offset: u64, data: &mut [u8]) {
        let Some(bar) = Bar::new(bar) else { return data.fill(0xff) };
        for (at, length) in Registers::of(offset, data.len()) {
            let (data, offset) = (&mut data[at..at + length], offset + at as u64);
            let is_section = reading(&self.core.sections).read(bar, offset, data);
            if !is_section && self.device.read_memory(bar, offset, data).is_err() {
                data.fill(0xff);
            }
        }
    }

    fn write(&self, bar: u32, offset: u64, data: &[u8]) {
        let Some(bar) = Bar::new(bar) else { return };
        for (at, length) in Registers::of(offset, data.len()) {
            let (data, offset) = (&data[at..at + length], offset + at as u64);
            let is_section = reading(&self.core.sections).write(bar, offset, data);
            if is_section {
                continue;
            }
            let rung = lock(&self.core.doorbells).rung(bar, offset, data);
            match rung {
                Some(signal) => signal(),
                // A write that the device refuses is dropped.
                None => drop(self.device.write_memory(bar, offset, data)),
            }
        }
    }
}

/// An access, in pieces as a processor makes them: 1, 2, 4 or 8 bytes, each where its length divides its place.
struct Registers {
    offset: u64,
    at: usize,
    left: usize,
}

impl Registers {
    fn of(offset: u64, length: usize) -> Registers {
        Registers { offset, at: 0, left: length }
    }
}

impl Iterator for Registers {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let place = self.offset + self.at as u64;
        let fits = |length: &usize| *length <= self.left && place.is_multiple_of(*length as u64);
        let length = [8, 4, 2, 1].into_iter().find(fits)?;
        let piece = (self.at, length);
        self.at += length;
        self.left -= length;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_are_as_long_as_those_of_processors() {
        let pieces = |offset, length| Registers::of(offset, length).map(|piece| piece.1).collect::<Vec<_>>();
        assert_eq!(pieces(8, 8), [8]);
        assert_eq!(pieces(4, 8), [4, 4]);
        assert_eq!(pieces(3, 6), [1, 4, 1]);
        assert_eq!(pieces(6, 2), [2]);
        assert_eq!(pieces(0, 0), Vec::<usize>::new());
    }
}

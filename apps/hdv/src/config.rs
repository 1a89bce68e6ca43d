//! The configuration space as the monitor sees it: whole dwords for the device, base addresses that are answered from what the
//! device has told, and capabilities that show themselves late.
//!
//! WHY LATE. A monitor that sees MSI or MSI-X when it takes a device serves those itself, and the device never hears what the
//! guest writes there. Here the device owns them. So they are hidden until the first reset, which comes after that and before
//! the guest runs.

use crate::{PciDevice, shape::Bars};

const STATUS: u32 = 0x04;
const HAS_CAPABILITIES: u32 = 1 << 20;
const FIRST_BAR: u32 = 0x10;
const LAST_BAR: u32 = 0x24;
const ROM: u32 = 0x30;
const CAPABILITIES: u32 = 0x34;
const INTERRUPT: u32 = 0x3c;
/// Which line it interrupts by; none does here.
const PIN: u32 = 0xff00;
/// Where the part begins that only PCI Express has.
const EXTENDED: u32 = 0x100;

/// The state of the configuration space that is not the device's.
#[derive(Clone, Debug)]
pub struct Config {
    bars: Bars,
    held: [u32; 6],
    is_shown: bool,
}

impl Config {
    /// That of a device whose monitor comes.
    pub fn new(bars: Bars) -> Config {
        let held = std::array::from_fn(|index| bars.holds(index, 0));
        Config { bars, held, is_shown: false }
    }

    /// The device is reset. Whether it was so before: then the guest had it.
    pub fn reset(&mut self) -> bool {
        self.held = std::array::from_fn(|index| self.bars.holds(index, 0));
        std::mem::replace(&mut self.is_shown, true)
    }

    /// Reads from there on. What is asked for is within the space.
    pub fn read(&self, device: &dyn PciDevice, offset: u32, data: &mut [u8]) {
        let mut at = offset;
        for piece in Pieces::of(offset, data.len()) {
            let bytes = self.dword(device, piece.dword).to_le_bytes();
            let from = (at - offset) as usize;
            data[from..from + piece.length].copy_from_slice(&bytes[piece.first..piece.first + piece.length]);
            at += piece.length as u32;
        }
    }

    fn dword(&self, device: &dyn PciDevice, dword: u32) -> u32 {
        let own = || device.read_config(dword).unwrap_or(u32::MAX);
        match dword {
            FIRST_BAR..=LAST_BAR => self.held[((dword - FIRST_BAR) / 4) as usize],
            ROM => 0,
            INTERRUPT => own() & !PIN,
            STATUS if !self.is_shown => own() & !HAS_CAPABILITIES,
            CAPABILITIES if !self.is_shown => own() & !0xff,
            EXTENDED.. if !self.is_shown => 0,
            _ => own(),
        }
    }

    /// Writes from there on.
    pub fn write(&mut self, device: &dyn PciDevice, offset: u32, data: &[u8]) {
        let mut rest = data;
        for piece in Pieces::of(offset, data.len()) {
            let (bytes, later) = rest.split_at(piece.length);
            rest = later;
            let value = match <[u8; 4]>::try_from(bytes) {
                Ok(whole) => u32::from_le_bytes(whole),
                Err(_) => {
                    let mut merged = self.dword(device, piece.dword).to_le_bytes();
                    merged[piece.first..piece.first + piece.length].copy_from_slice(bytes);
                    u32::from_le_bytes(merged)
                }
            };
            self.write_dword(device, piece.dword, value);
        }
    }

    fn write_dword(&mut self, device: &dyn PciDevice, dword: u32, value: u32) {
        match dword {
            FIRST_BAR..=LAST_BAR => {
                let index = ((dword - FIRST_BAR) / 4) as usize;
                self.held[index] = self.bars.holds(index, value);
                if Bars::is_probe(value) {
                    return;
                }
            }
            // There is none, and who asks for its size is not to wake the device.
            ROM => return,
            _ => {}
        }
        // The device has refused it: then it is as if nothing was written.
        let _ = device.write_config(dword, value);
    }
}

/// A part of a dword.
struct Piece {
    dword: u32,
    first: usize,
    length: usize,
}

/// The dwords that an access touches.
struct Pieces {
    at: u32,
    left: usize,
}

impl Pieces {
    fn of(offset: u32, length: usize) -> Pieces {
        Pieces { at: offset, left: length }
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.left == 0 {
            return None;
        }
        let first = (self.at & 3) as usize;
        let piece = Piece { dword: self.at & !3, first, length: self.left.min(4 - first) };
        self.at += piece.length as u32;
        self.left -= piece.length;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{Bar, Details, Error};

    /// A space of numbers that says what was written to it.
    struct Space {
        dwords: Mutex<[u32; 64]>,
        written: Mutex<Vec<(u32, u32)>>,
    }

    impl PciDevice for Space {
        fn details(&self) -> Result<Details, Error> {
            Ok(Details::default())
        }
        fn read_config(&self, offset: u32) -> Result<u32, Error> {
            let dwords = self.dwords.lock().unwrap();
            dwords.get(offset as usize / 4).copied().ok_or_else(|| hcs_core::Cause::InvalidArgument.into())
        }
        fn write_config(&self, offset: u32, value: u32) -> Result<(), Error> {
            self.written.lock().unwrap().push((offset, value));
            self.dwords.lock().unwrap()[offset as usize / 4] = value;
            Ok(())
        }
        fn read_memory(&self, _: Bar, _: u64, _: &mut [u8]) -> Result<(), Error> {
            Ok(())
        }
        fn write_memory(&self, _: Bar, _: u64, _: &[u8]) -> Result<(), Error> {
            Ok(())
        }
    }

    fn space() -> (Space, Config) {
        let mut dwords = [0; 64];
        dwords[0] = 0x5678_1234;
        dwords[1] = 0x0010_0000;
        dwords[13] = 0x40;
        dwords[15] = 0x0000_01ff;
        let space = Space { dwords: Mutex::new(dwords), written: Mutex::default() };
        (space, Config::new(Bars::new([0xffff_f000, 0, 0, 0, 0, 0]).unwrap()))
    }

    fn read<const N: usize>(config: &Config, space: &Space, offset: u32) -> [u8; N] {
        let mut data = [0; N];
        config.read(space, offset, &mut data);
        data
    }

    #[test]
    fn capabilities_show_themselves_with_the_first_reset() {
        let (space, mut config) = space();
        assert_eq!(read(&config, &space, 6), [0, 0]);
        assert_eq!(read(&config, &space, 0x34), [0]);
        assert_eq!(read(&config, &space, 0x100), [0; 4]);
        assert!(!config.reset());
        assert_eq!(read(&config, &space, 6), [0x10, 0]);
        assert_eq!(read(&config, &space, 0x34), [0x40]);
        assert_eq!(read(&config, &space, 0x100), [0xff; 4]);
        // It never interrupts by a line.
        assert_eq!(read(&config, &space, 0x3c), [0xff, 0]);
        assert!(config.reset());
    }

    #[test]
    fn parts_of_dwords_are_merged_before_the_device_sees_them() {
        let (space, mut config) = space();
        assert_eq!(read(&config, &space, 2), [0x78, 0x56]);
        config.write(&space, 0x0d, &[0x20]);
        config.write(&space, 0x3e, &[1, 2, 3, 4]);
        let written = space.written.lock().unwrap().clone();
        assert_eq!(written, [(0x0c, 0x2000), (0x3c, 0x0201_00ff), (0x40, 0x0403)]);
    }

    #[test]
    fn probing_is_answered_for_the_device_and_addresses_reach_it() {
        let (space, mut config) = space();
        config.write(&space, 0x10, &u32::MAX.to_le_bytes());
        assert_eq!(read(&config, &space, 0x10), 0xffff_f000_u32.to_le_bytes());
        config.write(&space, 0x10, &0xfebf_1234_u32.to_le_bytes());
        assert_eq!(read(&config, &space, 0x10), 0xfebf_1000_u32.to_le_bytes());
        config.write(&space, 0x30, &u32::MAX.to_le_bytes());
        assert_eq!(space.written.lock().unwrap().clone(), [(0x10, 0xfebf_1234)]);
        assert_eq!(read(&config, &space, 0x30), [0; 4]);
    }
}

//! What base addresses a device has, from what it says they give back when they are probed.

use hcs_core::{Cause, Error};

/// Bits of a base address that say what it is.
const IO: u32 = 1;
const WIDTH: u32 = 0b110;
const WIDE: u32 = 0b100;
/// The bits of addresses in memory that say what it is, and those of ports.
const MEMORY_TYPE: u32 = 0xf;
const IO_TYPE: u32 = 0x3;
/// The largest that is taken: what a guest can still find a place for.
const LARGEST: u64 = 1 << 40;

/// The base addresses of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bars {
    probed: [u32; 6],
    lengths: [u64; 6],
    /// The bits of each that never change.
    types: [u32; 6],
}

impl Bars {
    /// Those of a device that says this.
    pub fn new(probed: [u32; 6]) -> Result<Bars, Error> {
        let mut bars = Bars { probed, lengths: [0; 6], types: [0; 6] };
        let mut index = 0;
        while index < 6 {
            let low = probed[index];
            let refused = |why: &str| {
                let detail = format!("the device says that base address {index} gives back {low:#x}: {why}");
                Err(Error::new(Cause::InvalidData, detail))
            };
            let step = match low {
                0 => 1,
                _ if low & IO != 0 => {
                    bars.types[index] = low & IO_TYPE;
                    bars.lengths[index] = u64::from((!(low & !IO_TYPE)).wrapping_add(1));
                    1
                }
                _ if low & WIDTH == WIDE => {
                    let Some(high) = probed.get(index + 1) else {
                        return refused("there is no place for its other half");
                    };
                    bars.types[index] = low & MEMORY_TYPE;
                    let mask = u64::from(*high) << 32 | u64::from(low & !MEMORY_TYPE);
                    bars.lengths[index] = (!mask).wrapping_add(1);
                    2
                }
                _ if low & WIDTH == 0 => {
                    bars.types[index] = low & MEMORY_TYPE;
                    bars.lengths[index] = u64::from((!(low & !MEMORY_TYPE)).wrapping_add(1));
                    1
                }
                _ => return refused("no width is of that kind"),
            };
            let length = bars.lengths[index];
            if low != 0 && (!length.is_power_of_two() || length > LARGEST) {
                return refused("its size is no power of two, or too large");
            }
            index += step;
        }
        Ok(bars)
    }

    /// How long what is behind each is.
    pub fn lengths(&self) -> [u64; 6] {
        self.lengths
    }

    /// What a base address holds when this was written to it.
    pub fn holds(&self, index: usize, written: u32) -> u32 {
        written & self.probed[index] & !self.type_mask(index) | self.types[index]
    }

    /// Whether what was written only asks how large it is.
    pub fn is_probe(written: u32) -> bool {
        written == u32::MAX
    }

    fn type_mask(&self, index: usize) -> u32 {
        match self.types[index] {
            kind if kind & IO != 0 => IO_TYPE,
            // The other half of a wide one has none.
            _ if self.lengths[index] == 0 => 0,
            _ => MEMORY_TYPE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_what_probing_says() {
        let bars = Bars::new([0xffff_0004, u32::MAX, 0xffff_f000, 0xffff_ff81, 0xfff0_0008, 0]).unwrap();
        assert_eq!(bars.lengths(), [0x1_0000, 0, 0x1000, 0x80, 0x10_0000, 0]);
        assert_eq!(bars.holds(0, u32::MAX), 0xffff_0004);
        assert_eq!(bars.holds(1, u32::MAX), u32::MAX);
        assert_eq!(bars.holds(1, 7), 7);
        assert_eq!(bars.holds(3, 0xc041), 0xc001);
        assert_eq!(bars.holds(4, 0x1234_5678), 0x1230_0008);
        assert_eq!(bars.holds(5, u32::MAX), 0);
        let large = Bars::new([0x0000_000c, 0xffff_fff0, 0, 0, 0, 0]).unwrap();
        assert_eq!(large.lengths()[0], 64 << 30);
    }

    #[test]
    fn what_no_device_can_be_is_refused() {
        for probed in [
            [0xffff_0f00, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0xffff_0004],
            [0xffff_0002, 0, 0, 0, 0, 0],
            [0x0000_0004, 0, 0, 0, 0, 0],
            [0xf0f0_0000, 0, 0, 0, 0, 0],
        ] {
            assert!(Bars::new(probed).is_err(), "{probed:x?}");
        }
    }
}

//! What a program implements to be a device, and the words in which it does so. The calls come from [`crate::server`].

use crate::Error;

/// By what a guest knows which driver a device needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the members are those of every PCI device")]
pub struct PnpId {
    pub vendor: u16,
    pub device: u16,
    pub revision: u8,
    pub prog_if: u8,
    pub sub_class: u8,
    pub base_class: u8,
    pub sub_vendor: u16,
    pub sub_system: u16,
}

/// What a device tells of itself before the guest sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// What it is.
    pub ids: PnpId,
    /// What each base address gives back after all ones were written to it: `!(size - 1)`, with the bits of its type. 0 is that
    /// it is not there. One of 64 bits takes two places.
    pub probed_bars: [u32; 6],
}

/// The number of a base address. One of 64 bits is known by the lower of its two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bar(u8);

impl Bar {
    /// One of the six.
    pub fn new(number: u32) -> Option<Bar> {
        u8::try_from(number).ok().filter(|number| *number < 6).map(Bar)
    }

    /// Its number.
    pub fn number(self) -> usize {
        usize::from(self.0)
    }
}

/// A PCI device. The order of calls is `initialize`, `set_configuration`, `details`, then `start` and `stop` as the processors of
/// the machine run and stand still, with accesses of the guest between them, and at last `teardown`.
///
/// Accesses may come on any thread. One that fails reads as all ones, or is dropped.
pub trait PciDevice: Send + Sync + 'static {
    /// The machine gets the device.
    fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The last call.
    fn teardown(&self) {}

    /// What the document of the machine tells the device, in order.
    fn set_configuration(&self, values: &[String]) -> Result<(), Error> {
        let _ = values;
        Ok(())
    }

    /// What it is. The answer is the same each time.
    fn details(&self) -> Result<Details, Error>;

    /// The processors are about to run.
    fn start(&self) -> Result<(), Error> {
        Ok(())
    }

    /// They have stopped.
    fn stop(&self) {}

    /// Reads four bytes of the configuration space.
    fn read_config(&self, offset: u32) -> Result<u32, Error>;

    /// Writes four bytes of the configuration space.
    fn write_config(&self, offset: u32, value: u32) -> Result<(), Error>;

    /// Reads 1, 2, 4 or 8 bytes behind a base address.
    fn read_memory(&self, bar: Bar, offset: u64, data: &mut [u8]) -> Result<(), Error>;

    /// Writes 1, 2, 4 or 8 bytes behind a base address.
    fn write_memory(&self, bar: Bar, offset: u64, data: &[u8]) -> Result<(), Error>;
}

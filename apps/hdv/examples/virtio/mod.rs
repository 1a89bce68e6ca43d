//! Devices of virtio, as a program supplies them: the guest's own drivers find them on their PCI bus.
//!
//! [`transport`] is the PCI device, [`queue`] what the driver and it share in the memory of the guest, [`vectors`] how it
//! interrupts. What a device does with the buffers that it is given is a [`Model`]: [`disk`] and [`entropy`].

pub mod disk;
pub mod entropy;
pub mod queue;
pub mod transport;
pub mod vectors;

use hdv::Error;

use self::queue::Chain;

/// What kind of device it is, and what it does.
pub trait Model: Send + Sync + 'static {
    /// Its number among the devices of virtio.
    const NUMBER: u16;
    /// Its class and sub class.
    const CLASS: [u8; 2];
    /// What it can do, beside what all can.
    fn features(&self) -> u64;
    /// What its driver reads of it.
    fn configuration(&self) -> Vec<u8>;
    /// Does what is asked by buffers of the guest; how many bytes were written there.
    fn serve(&self, chain: &Chain) -> Result<u32, Error>;
}

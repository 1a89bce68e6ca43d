//! vfio-user: how a virtual machine monitor uses a PCI device that another process is. This is the side of the device, without
//! input or output: bytes and descriptors in, what is asked and bytes out. The crate `hdv` reads and writes.
//!
//! [`frame`] finds messages, [`request`] reads what is asked, [`answer`] writes what is said back, [`own`] is what the device
//! asks of the monitor, and [`session`] knows what may be said when and answers what needs no device.
//!
//! A monitor is a stranger: lengths are checked before anything is made of them, and whoever breaks the rules is hung up on.
//! Nothing here can panic.

pub mod answer;
pub mod frame;
pub mod own;
mod reader;
pub mod request;
pub mod session;

/// The most bytes of data in one message, in either direction.
pub const MOST_DATA: usize = 1 << 20;
/// The most descriptors beside one message.
pub const MOST_FDS: usize = 16;

/// The monitor does not keep to the protocol, and is hung up on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

pub(crate) fn broken<T>(what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken(what.into()))
}

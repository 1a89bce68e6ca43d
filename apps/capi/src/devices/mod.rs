//! The functions of `HyperVDeviceVirtualization.h`: PCI devices that the program itself is, for a virtual machine.
//!
//! ```text
//!   exports    host.rs  proxy.rs  requests.rs          hosts, hosts in other processes, what a device asks for
//!      │
//!   objects    host.rs: DeviceHost   hdv::Device       what handles stand for
//!      │
//!   edge       interface.rs                            the program's callbacks as a device of the crate `hdv`
//! ```
//!
//! What must hold: the handles of devices end with their host, and not before the last callback of a device has
//! returned; callbacks run with no lock of this library held, as they may call everything but the end of their host.

pub mod host;
mod interface;
mod proxy;
mod requests;

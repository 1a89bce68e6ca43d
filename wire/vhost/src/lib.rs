//! What is said between a QEMU, the driver in its guest, and a program that is the device between them, where the device is the
//! one of virtio sockets. Nothing here reads or writes anything but the memory that it is given.
//!
//! - [`message`]: what QEMU asks (vhost-user), and the answers.
//! - [`ring`]: how buffers of the guest come and go (the split ring of virtio 1).
//! - [`packet`]: what is in the buffers of virtio sockets.
//!
//! Both sides may say anything: QEMU is what a guest breaks first.
#![forbid(unsafe_code)]

pub mod message;
pub mod packet;
pub mod ring;

use std::fmt;

/// What was said cannot be; why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Broken {}

/// The number that begins at a place of some bytes, which are long enough.
macro_rules! number_at {
    ($type:ty, $bytes:expr, $at:expr) => {{
        let mut number = [0; size_of::<$type>()];
        number.copy_from_slice(&$bytes[$at..$at + size_of::<$type>()]);
        <$type>::from_le_bytes(number)
    }};
}
use number_at;

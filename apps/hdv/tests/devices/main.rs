//! Devices, served to monitors that are tests: one that is made here byte by byte, and the one of the crate `vfio_user`.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod board;
mod conversation;
mod hostile;
mod lives;
mod memory;
mod monitor;
mod stranger;

//! Virtual disks in files.
//!
//! ```text
//!   file ── image ([`image`]: raw, VHD, VHDX) ── view ([`mod@view`]: its bytes as the guest sees them)
//!                                                  ├── format: a partition table ([`gpt`]) and ext4
//!                                                  └── mount ([`mount`]): a loop device over the partition
//! ```
//!
//! The bytes of a raw image or of a fixed VHD are those of the file. The others are served as a file by
//! `qemu-storage-daemon`. A mounted disk belongs to nobody's process: it stays until it is unmounted, at a place that
//! follows from which file it is, and whoever asks for the same disk again gets the same place.
//!
//! Everything here is called by clients, in their own process and with their own rights; it takes root.

mod checksum;
pub mod create;
mod failure;
mod format;
pub mod gpt;
pub mod guid;
pub mod image;
mod loop_device;
pub mod mount;
mod server;
pub mod vhd;
mod vhdx;
mod view;

pub use format::format;

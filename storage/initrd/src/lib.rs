//! What a utility virtual machine boots from: a kernel, and an archive with the agent as its init and the modules of that
//! kernel that a machine of ours can need. The same input gives the same bytes, whenever and wherever it is built.
//!
//! - [`cpio`]: archives as kernels unpack them.
//! - [`modules`]: modules of a kernel, each behind those that it needs.
//! - [`image`]: what is in it.
#![forbid(unsafe_code)]

pub mod cpio;
pub mod image;
pub mod modules;

pub use cpio::Archive;
pub use image::Image;
pub use modules::Modules;

//! The GCS bridge: how a host and the agent in a utility virtual machine speak, in its version 4. Both sides are here, and
//! neither does any input or output: bytes go in, messages come out, and what is to be sent is told.
//!
//! ```text
//!   bytes ── [`frame`] ── messages ── [`host`] or [`guest`]: who may say what when
//!                         [`rpc`]: what they are called      [`records`]: what is in them      [`code`]: how they fail
//! ```

pub mod code;
pub mod frame;
pub mod guest;
pub mod host;
pub mod records;
pub mod rpc;

pub use frame::{Decoder, Frame};
pub use rpc::{Kind, MessageType, Rpc};

/// The version that is spoken.
pub const VERSION: u32 = 4;

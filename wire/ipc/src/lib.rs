//! The wire of the Host Compute System.
//!
//! Three protocols share one framing (JSON documents ended by a NUL byte, file descriptors beside them):
//!
//! * clients ↔ hcsd: Varlink, interface `io.hcs.Compute`; [`interface`] has its text, [`compute`] its methods
//!   as types, [`varlink`] the envelopes;
//! * hcsd ↔ hcs-worker: private and versioned, [`worker`];
//! * hcs-worker ↔ applications that host devices of a virtual machine: [`device_host`].
//!
//! [`frame`] is sans-io: bytes and descriptors in, messages out. [`socket`] moves them without blocking,
//! [`stream`] does so under tokio for hcsd. The client library has its own loop over [`socket`], because a C
//! library must bring no runtime into its host process; the worker has one because it must stay small.
//!
//! Why not the crate `zlink` in production: it is async only (the C library and the worker are not), accepts
//! descriptors on every message, and caps a message at 100 MiB. It is our test peer instead: the tests drive
//! the service with it, as a stranger would.

pub mod compute;
pub mod device_host;
pub mod frame;
pub mod interface;
pub mod limits;
pub mod socket;
pub mod stream;
pub mod varlink;
pub mod watched;
pub mod worker;

pub use frame::{Decoder, FrameError, Message};

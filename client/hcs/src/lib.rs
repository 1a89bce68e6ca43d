//! Containers and virtual machines through the Host Compute System.
//!
//! ```no_run
//! # async fn example() -> Result<(), hcs::Error> {
//! let client = hcs::Client::connect()?;
//! let document = r#"{
//!     "SchemaVersion": {"Major": 2, "Minor": 1},
//!     "Owner": "example",
//!     "ShouldTerminateOnLastHandleClosed": true,
//!     "Container": {"Storage": {"Path": "/srv/rootfs"}}
//! }"#;
//! let system = client.create("web-1", &hcs::schema::read_strict(document)?).await?;
//! system.start().await?;
//! let process = system.run(&hcs::schema::ProcessParameters {
//!     command_args: Some(vec!["echo".into(), "hello".into()]),
//!     create_std_out_pipe: Some(true),
//!     ..Default::default()
//! }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The types here are for Rust programs. Below them is [`link`]: calls, their completions and events, with one
//! thread of its own and no runtime. The C library is made of the link.

pub mod access;
mod blocking;
mod client;
mod document;
mod events;
pub mod images;
pub mod link;
mod operation;
pub mod output;
mod places;
mod process;
pub mod saved;
pub mod storage;
mod system;

pub use client::Client;
pub use events::{Event, EventStream, SystemEvent};
pub use hcs_core::{Cause, HResult};
pub use hcs_ipc::{compute, varlink::Failure as Error};
pub use hcs_schema as schema;
pub use link::Link;
pub use operation::Operation;
pub use output::{Output, Said};
pub use process::{Pipes, Process};
pub use system::System;

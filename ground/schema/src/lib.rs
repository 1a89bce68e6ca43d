//! The JSON documents of the Host Compute System.
//!
//! Every document that goes through the API has a type here: what clients send (`ComputeSystem`,
//! `ProcessParameters`, `ModifySettingRequest` …) and what they get back (`Properties`, `ResultError`,
//! `SystemExitStatus` …). All members are optional, so that zero and absent differ and nothing is written
//! that was not set; each has a setter of its name:
//!
//! ```
//! use hcs_schema::{ComputeSystem, Container, ContainerMemory, Version};
//!
//! let system = ComputeSystem::default()
//!     .owner("demo")
//!     .schema_version(Version::default().major(2u32).minor(1u32))
//!     .container(Container::default().memory(ContainerMemory::default().size_in_mb(512u64)));
//! let text = serde_json::to_string(&system)?;
//! let reading = hcs_schema::read::<ComputeSystem>(&text)?;
//! assert_eq!(reading.value, system);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Text from outside goes through [`read`] (tolerant, as the API is) or [`read_strict`] and never straight
//! through serde, whose errors name no member. The service, the engines, the client library and the command
//! line use this crate; it knows nothing of any of them.

mod any;
mod check;
mod documents;
mod error;
mod format;
mod guid;
mod json_schema;
mod kind;
mod mac_address;
mod macros;
mod member;
mod node;
mod path;
mod read;
mod signal;
mod suggest;

pub use any::Any;
pub use documents::*;
pub use error::{DocumentError, DocumentErrorKind};
pub use guid::{Guid, NotAGuid};
pub use json_schema::json_schema;
pub use kind::{Choice, Choices, Document, Format, Integer, Key, Kind, Member, Shape, Typed};
pub use mac_address::{MacAddress, NotAMacAddress};
pub use member::{PresentMember, UnknownMember};
pub use path::member_path;
pub use read::{Reading, mistakes, read, read_strict};
pub use signal::Signal;
pub use suggest::nearest;

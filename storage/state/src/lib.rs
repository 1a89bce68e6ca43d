//! Files in which virtual machines keep their state.
//!
//! - [`runtime`]: `.vmrs`, a machine that was saved: its memory, its devices, and what it was made from. The form is ours.
//! - [`guest`]: `.vmgs`, what firmware and a trusted platform module remember.
//! - [`replace`]: how such a file takes the place of an older one, whole or not at all.
//!
//! - [`variables`]: the variables of UEFI, as firmware has them and as a guest state file has them.
//!
//! The worker of a machine writes and reads them, the service looks at what they say before anything is started, and
//! clients make empty ones.

mod fields;
pub mod guest;
pub mod replace;
pub mod runtime;
pub mod variables;

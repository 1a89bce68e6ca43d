//! What a container has mounted.
//!
//! [`root`] is opened first, when the container is created, with what [`mapping`] and an OCI specification add
//! ([`extra`]). [`tree`] is what its first process makes of all that. [`live`] changes it while the container runs.

mod dangling;
pub mod detached;
pub(crate) mod extra;
pub(crate) mod live;
pub(crate) mod mapping;
pub(crate) mod root;
pub(crate) mod tree;

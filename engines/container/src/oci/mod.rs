//! OCI runtime specifications: `OciSpecification` of a container, `OciProcess` of a process.
//!
//! [`specification`] is the whole, [`process`] and [`mounts`] are its larger parts, [`policy`] says what becomes of each
//! member. What they say is added to the same plans that the rest of a document makes.

pub(crate) mod mounts;
pub(crate) mod policy;
pub(crate) mod process;
pub(crate) mod specification;

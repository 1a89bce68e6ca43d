//! The document types, one file per topic.
//!
//! Everything is exported flat, as `hcs_schema::Chipset`. A new file must be named in all lists below; the
//! test against `tests/data/members.txt` notices when one is missing.

mod chipset;
mod compute_system;
mod container;
mod crash;
mod credential_guard;
mod devices;
mod errors;
mod exit;
mod hv_socket;
mod integration;
mod layers;
mod modify;
mod network;
mod oci_process;
mod oci_seccomp;
mod oci_specification;
mod operations;
mod options;
mod process;
mod processor;
mod properties;
mod registry;
mod service;
mod shares;
mod silo;
mod silo_registry;
mod statistics;
mod storage;
mod topology;
mod virtual_machine;

pub use chipset::*;
pub use compute_system::*;
pub use container::*;
pub use crash::*;
pub use credential_guard::*;
pub use devices::*;
pub use errors::*;
pub use exit::*;
pub use hv_socket::*;
pub use integration::*;
pub use layers::*;
pub use modify::*;
pub use network::*;
pub use oci_process::*;
pub use oci_seccomp::*;
pub use oci_specification::*;
pub use operations::*;
pub use options::*;
pub use process::*;
pub use processor::*;
pub use properties::*;
pub use registry::*;
pub use service::*;
pub use shares::*;
pub use silo::*;
pub use silo_registry::*;
pub use statistics::*;
pub use storage::*;
pub use topology::*;
pub use virtual_machine::*;

use crate::kind::{Choices, Shape};
use std::sync::LazyLock;

/// The object types of all files.
const SHAPES: &[&[fn() -> &'static Shape]] = &[
    chipset::SHAPES,
    compute_system::SHAPES,
    container::SHAPES,
    crash::SHAPES,
    credential_guard::SHAPES,
    devices::SHAPES,
    errors::SHAPES,
    exit::SHAPES,
    hv_socket::SHAPES,
    integration::SHAPES,
    layers::SHAPES,
    modify::SHAPES,
    network::SHAPES,
    oci_process::SHAPES,
    oci_seccomp::SHAPES,
    oci_specification::SHAPES,
    operations::SHAPES,
    options::SHAPES,
    process::SHAPES,
    processor::SHAPES,
    properties::SHAPES,
    registry::SHAPES,
    service::SHAPES,
    shares::SHAPES,
    silo::SHAPES,
    silo_registry::SHAPES,
    statistics::SHAPES,
    storage::SHAPES,
    topology::SHAPES,
    virtual_machine::SHAPES,
];

/// The enumerations of all files.
const CHOICES: &[&[&Choices]] = &[
    chipset::CHOICES,
    compute_system::CHOICES,
    container::CHOICES,
    crash::CHOICES,
    credential_guard::CHOICES,
    devices::CHOICES,
    errors::CHOICES,
    exit::CHOICES,
    integration::CHOICES,
    layers::CHOICES,
    modify::CHOICES,
    network::CHOICES,
    oci_process::CHOICES,
    oci_seccomp::CHOICES,
    oci_specification::CHOICES,
    operations::CHOICES,
    options::CHOICES,
    process::CHOICES,
    processor::CHOICES,
    properties::CHOICES,
    registry::CHOICES,
    service::CHOICES,
    silo::CHOICES,
    storage::CHOICES,
    topology::CHOICES,
];

/// All object types, in alphabetical order.
pub fn shapes() -> &'static [&'static Shape] {
    static ALL: LazyLock<Vec<&'static Shape>> = LazyLock::new(|| {
        let mut all: Vec<_> = SHAPES.iter().copied().flatten().map(|shape| shape()).collect();
        all.sort_by_key(|shape| shape.name);
        all
    });
    &ALL
}

/// All enumerations, in alphabetical order.
pub fn choices() -> &'static [&'static Choices] {
    static ALL: LazyLock<Vec<&'static Choices>> = LazyLock::new(|| {
        let mut all: Vec<_> = CHOICES.iter().copied().flatten().copied().collect();
        all.sort_by_key(|choices| choices.name);
        all
    });
    &ALL
}

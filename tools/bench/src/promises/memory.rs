//! What things need that do nothing, or do what they must not grow by.

use super::{Limit::AtMost, Promise, measured, tested};
use crate::units::{KIB, MIB, Unit::Bytes};

/// The promises.
pub const PROMISES: &[Promise] = &[
    measured(
        "idle-container",
        "A container that does nothing, its worker and its first process together (PSS)",
        "idle",
        AtMost(400.0 * KIB, Bytes),
    ),
    measured("machine-worker", "A worker beside QEMU (PSS)", "boot", AtMost(4.0 * MIB, Bytes)),
    measured(
        "clone-memory",
        "What each of ten clones of 256 MiB has for itself",
        "clone",
        AtMost(40.0 * MIB, Bytes),
    ),
    tested(
        "loud-worker",
        "The growth of a worker whose process says 200 MB that are kept",
        "4 MiB",
        "logs::a_process_that_says_a_lot_neither_grows_its_worker_nor_keeps_it_from_others",
    ),
    tested(
        "idle-processor",
        "Processor time of a service that nobody uses, in five seconds",
        "20 ms",
        "workers::a_service_that_nobody_uses_uses_no_processor",
    ),
];

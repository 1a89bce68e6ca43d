//! Promises about how long things take.

use super::{
    Limit::{AtMost, Speed, Times},
    Promise, measured, tested,
};
use crate::units::{
    MILLISECOND,
    Unit::{self, Microseconds},
};

const fn milliseconds(count: f64) -> super::Limit {
    AtMost(count * MILLISECOND, Unit::Microseconds)
}

/// The promises.
pub const PROMISES: &[Promise] = &[
    measured(
        "call-echo",
        "A call that does nothing, beside a bare echo of the same bytes",
        "call",
        Times(3.0),
    ),
    measured("call-median", "A call that does nothing, the median", "call", AtMost(50.0, Microseconds)),
    measured("call-late", "A call that does nothing, at 99 of 100", "call", AtMost(200.0, Microseconds)),
    measured(
        "life-time-crun-idle",
        "The life of a container, beside crun, idle machine",
        "cycle",
        Times(0.4),
    ),
    measured(
        "life-time-crun-busy",
        "The life of a container, beside crun, all processors busy",
        "cycle",
        Times(0.4),
    ),
    measured(
        "life-processor-crun-idle",
        "Processor time of a life, beside crun, idle machine",
        "cycle",
        Times(0.4),
    ),
    measured(
        "life-processor-crun-busy",
        "Processor time of a life, beside crun, all processors busy",
        "cycle",
        Times(0.4),
    ),
    measured(
        "life-time-floor-idle",
        "The life of a container, beside the floor, idle machine",
        "cycle",
        Times(2.0),
    ),
    measured(
        "life-time-floor-busy",
        "The life of a container, beside the floor, all processors busy",
        "cycle",
        Times(2.0),
    ),
    measured(
        "life-processor-floor-idle",
        "Processor time of a life, beside the floor, idle machine",
        "cycle",
        Times(2.0),
    ),
    measured(
        "life-processor-floor-busy",
        "Processor time of a life, beside the floor, all processors busy",
        "cycle",
        Times(2.0),
    ),
    measured(
        "process-time-crun-idle",
        "A process in a container that is there, to its end, beside crun, idle machine",
        "exec",
        Times(0.2),
    ),
    measured(
        "process-time-crun-busy",
        "A process in a container that is there, to its end, beside crun, all processors busy",
        "exec",
        Times(0.2),
    ),
    measured(
        "process-processor-crun-idle",
        "Processor time of such a process, beside crun, idle machine",
        "exec",
        Times(0.2),
    ),
    measured(
        "process-processor-crun-busy",
        "Processor time of such a process, beside crun, all processors busy",
        "exec",
        Times(0.2),
    ),
    measured("command-run", "`hcs run` of an image, beside the same by the library", "command", Times(1.2)),
    measured("command-list", "`hcs list` of 500 systems", "command", milliseconds(20.0)),
    measured(
        "layer-import",
        "A layer imported, beside the quickest of tar, umoci, ctr",
        "layers",
        Times(0.7),
    ),
    measured("layer-export", "A layer exported, beside `tar czf`", "layers", Times(1.0)),
    measured("layer-attach", "20 layers attached", "layers", milliseconds(2.0)),
    measured(
        "boot",
        "A machine from its creation to user space, beside the same QEMU run bare",
        "boot",
        Times(1.05),
    ),
    measured(
        "clone",
        "A clone from its creation to its first word, beside the same QEMU run bare",
        "clone",
        Times(2.0),
    ),
    measured(
        "clone-process",
        "The first process of a clone, from the call of its start",
        "guest",
        milliseconds(300.0),
    ),
    measured(
        "save-time",
        "A machine saved to a file, beside dd with fsync of as many bytes",
        "clone",
        Times(1.3),
    ),
    measured(
        "guest-process",
        "A process in a machine, to its end, beside a round on the bare port and the guest's own fork and exec",
        "guest",
        Times(3.0),
    ),
    measured(
        "guest-words",
        "100 MB that a process in a machine says, beside the bare port",
        "guest",
        Speed(0.6),
    ),
    measured("guest-folder", "100 MB from a shared folder, beside one mounted by hand", "guest", Speed(0.8)),
    measured(
        "device-read",
        "A register of a device that a program is, as its guest waits, beside a server without logic",
        "device",
        Times(1.05),
    ),
    measured(
        "device-memory",
        "Memory of the guest, read and written by its device, beside memcpy",
        "device",
        Speed(0.8),
    ),
    tested(
        "hang-others",
        "Another system's call while a worker hangs",
        "1 s",
        "workers::a_worker_that_hangs_delays_nobody_and_its_system_can_be_terminated",
    ),
    tested(
        "hang-terminate",
        "The termination of a system whose worker hangs",
        "15 s",
        "workers::a_worker_that_hangs_delays_nobody_and_its_system_can_be_terminated",
    ),
    tested(
        "loud-others",
        "A process in a container in which another says 200 MB that are kept",
        "2 s",
        "logs::a_process_that_says_a_lot_neither_grows_its_worker_nor_keeps_it_from_others",
    ),
];

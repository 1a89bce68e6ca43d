//! The measurements, a file for each. A measurement notes figures in the report that it is given; those that are about a promise
//! name it by its id.

pub mod boot;
pub mod call;
mod clone;
pub mod command;
mod cycle;
mod device;
mod exec;
mod guest;
mod idle;
mod layers;
mod many;
mod recovery;
mod sizes;

use crate::{Outcome, report::Report};

/// A measurement.
pub struct Measurement {
    /// How it is asked for.
    pub name: &'static str,
    /// What it measures, for people.
    pub about: &'static str,
    /// Whether it takes a view of the host of its own.
    pub is_apart: bool,
    /// Does it.
    pub measure: fn(&mut Report) -> Outcome,
}

const fn here(name: &'static str, about: &'static str, measure: fn(&mut Report) -> Outcome) -> Measurement {
    Measurement { name, about, is_apart: false, measure }
}

const fn apart(name: &'static str, about: &'static str, measure: fn(&mut Report) -> Outcome) -> Measurement {
    Measurement { name, about, is_apart: true, measure }
}

/// All, the short ones first.
pub const MEASUREMENTS: &[Measurement] = &[
    here("sizes", "the programs, and what a service is that nobody uses", sizes::measure),
    here(
        "call",
        "a call that does nothing, through the C library, beside an echo of the same bytes",
        call::measure,
    ),
    apart("exec", "a process in a container, beside crun, runc, youki and a bare C program", exec::measure),
    apart("cycle", "the life of a container, beside the same", cycle::measure),
    here("idle", "the memory of containers that do nothing", idle::measure),
    here("many", "500 containers at once: the last beside the first, and a list of all", many::measure),
    here("command", "`hcs list` of 500 systems; `hcs run` of an image, beside the library", command::measure),
    here("recovery", "a service that was killed takes over what runs", recovery::measure),
    here("layers", "a layer imported and exported, beside tar, umoci and containerd", layers::measure),
    here("boot", "a machine from nothing to its first program, beside the same QEMU run bare", boot::measure),
    here(
        "clone",
        "clones of a template, beside the same; a machine saved to a file, beside dd",
        clone::measure,
    ),
    here(
        "guest",
        "processes and folders in a machine, beside the bare port and a share by hand",
        guest::measure,
    ),
    here("device", "a PCI device that a program is, beside servers that do nothing else", device::measure),
];

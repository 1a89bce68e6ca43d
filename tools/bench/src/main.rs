//! Measures what the project promises about its speed, beside a peer and in the same run: machines differ and
//! drift, ratios stay.
//!
//! `hcs-bench cycle` — the life of a container, against crun, runc, youki and a bare C program of the same steps.
//! `hcs-bench exec` — a process in a container that is there, against the same.
//! `hcs-bench idle` — the memory of containers that do nothing.
//! `hcs-bench many` — 500 containers at once: whether the last is made as quickly as the first, and how long a list takes.
//! `hcs-bench layers` — a layer imported and exported, beside tar, umoci and containerd.
//! `hcs-bench boot` — a virtual machine from nothing to its first program, beside the same QEMU run bare.
//! `hcs-bench clone` — clones of a template, beside the same QEMU run bare; a machine saved to a file, beside dd.
//! `hcs-bench guest` — processes and folders in a virtual machine, beside the bare port and a share mounted by hand.
//! `hcs-bench device` — a PCI device that a program is, beside servers that do nothing else.
//! `hcs-bench command` — the command line: a list of many systems, and a program of an image, beside the library.
//! `hcs-bench call` — a call that does nothing, through the C library, against a bare Unix socket echo of the
//! same bytes. More measurements become more files here.

mod bare;
mod boot;
mod bundle;
mod call;
mod clone;
mod command;
mod contest;
mod cycle;
mod device;
mod echo;
mod exec;
mod figures;
mod floor;
mod guest;
mod idle;
mod layers;
mod library;
mod load;
mod many;
mod ours;
mod placement;
mod runtime;
mod service;
mod usage;

use std::{env, process::ExitCode};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["cycle"] => cycle::measure(),
        ["cycle-apart"] => cycle::measure_apart(),
        ["exec"] => exec::measure(),
        ["exec-apart"] => exec::measure_apart(),
        ["idle"] => idle::measure(),
        ["compute", processor] => load::compute(processor),
        ["many"] => many::measure(500),
        ["many", count] => count.parse().map_err(Into::into).and_then(many::measure),
        ["boot"] => boot::measure(),
        ["clone"] => clone::measure(),
        ["guest"] => guest::measure(),
        ["device"] => device::measure(),
        ["layers"] => layers::measure(),
        ["command"] => command::measure(),
        ["call"] => call::measure("inf"),
        ["call", "--at-most", ratio] => call::measure(ratio),
        ["call-with-library", folder, placement, ratio] => {
            call::measure_with_library(folder.as_ref(), placement, ratio)
        }
        ["echo", socket, request, reply] => echo::serve(socket, request, reply),
        _ => Err(
            "usage: hcs-bench cycle | exec | idle | many [COUNT] | layers | boot | clone | guest | device | command | call [--at-most RATIO]"
                .into(),
        ),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hcs-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

//! End to end: the shipped hcsd, hcs-worker and hcs, through the client crate, by hand, and by strangers.
//!
//! Each test has a service of its own, which fails it at the end if anything is left on the host.
#![expect(clippy::unwrap_used, reason = "a panic is the message, also in the helpers of tests")]

mod access;
mod activation;
mod book;
mod c_library;
mod cgroup2;
mod cleanup;
mod cli;
mod clients;
mod completion;
mod config;
mod confinement;
mod consoles;
mod devices;
mod disks;
mod doctor;
mod endings;
mod escapes;
mod faults;
mod foreign_folders;
mod guest_deaths;
mod guest_resources;
mod guest_sockets;
mod guests;
mod half_made;
mod hosted_devices;
mod hyper_v;
mod images;
mod layers;
mod lifecycle;
mod limits;
mod load;
mod logs;
mod machine_changes;
mod machine_crashes;
mod machine_deaths;
mod machine_firmware;
mod machine_memory;
mod machine_saved;
mod machine_screen;
mod machines;
mod malformed;
mod mapped;
mod metrics;
mod modify;
mod network;
mod oci_process;
mod oci_specification;
mod peers;
mod place;
mod process;
mod random_deaths;
mod registry;
mod repetition;
mod restarts;
mod rights;
mod storage;
mod streams;
mod systems;
mod template;
mod top;
mod transcripts;
mod units;
mod user_namespace;
mod workers;

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
};

use hcs::{Cause, Error, Process, System, schema::ProcessParameters};
use hcs_tests::Service;

/// What a process is to run, with pipes for both outputs.
fn command(arguments: &[&str]) -> ProcessParameters {
    ProcessParameters::default()
        .command_args(arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
        .create_std_out_pipe(true)
        .create_std_err_pipe(true)
}

/// A shell script.
fn script(text: &str) -> ProcessParameters {
    command(&["sh", "-c", text])
}

fn run(system: &System, parameters: &ProcessParameters) -> Process {
    system.run(parameters).wait().expect("starting a process")
}

/// A service and a container that runs under it.
fn contained() -> (Service, System) {
    let service = Service::start();
    let client = service.client();
    let system = service.running(&client, "web");
    (service, system)
}

/// Everything that a stream gives until its end.
fn read_all(from: Option<OwnedFd>) -> String {
    let mut text = String::new();
    File::from(from.expect("a pipe")).read_to_string(&mut text).expect("reading a pipe");
    text
}

fn write_all(to: &OwnedFd, text: &str) {
    let mut file = File::from(to.try_clone().expect("a descriptor"));
    file.write_all(text.as_bytes()).expect("writing to a pipe");
}

/// The exit code of a process, once it has ended.
fn exit_code(process: &Process) -> u32 {
    let status = process.wait_blocking().expect("waiting for a process");
    assert_eq!(status.exited, Some(true));
    assert_eq!(status.last_wait_result.unwrap_or(0), 0);
    status.exit_code.unwrap_or(0)
}

/// What a script says, which must succeed.
fn output(system: &System, text: &str) -> String {
    let mut process = run(system, &script(text));
    let said = read_all(process.pipes.stdout.take());
    let complaint = read_all(process.pipes.stderr.take());
    assert_eq!(exit_code(&process), 0, "{text}: {complaint}");
    said
}

/// The call must have failed, and for this reason.
fn refused<T>(outcome: Result<T, Error>, cause: Cause) -> Error {
    let Err(error) = outcome else { panic!("it was done, expected {cause:?}") };
    assert_eq!(error.cause, cause, "{error}");
    error
}

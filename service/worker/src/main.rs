//! hcs-worker: the process that owns one compute system.
//!
//! hcsd starts one with a connection as its standard input, and has it make copies of itself ahead, each with a
//! connection of its own. Once one is given a system and a listening socket, it is the parent of the container, keeps
//! exits until hcsd has them, and outlives hcsd: a restarted hcsd connects to that socket and adopts it. Until then it
//! ends with hcsd. If the worker dies, its container dies with it.
//!
//! It has one thread and waits in one place, [`hcs_worker::Worker::run`]; the container engine relies on that.
//!
//! Started with a role as its first argument, it is something else for a machine: `folders` serves shared folders (`hcs_folders`),
//! `sockets` carries the machine's sockets (`hcs_sockets`).
#![forbid(unsafe_code)]
#![deny(clippy::print_stderr, reason = "it panics where nothing takes the words; see hcs_core::complain")]

use std::{os::fd::AsFd, process::ExitCode};

use hcs_core::Error;
use hcs_machine::{folder_port, sockets};
use rustix::fs::{Mode, OFlags};

fn main() -> ExitCode {
    if let Some(ended) = std::env::args_os().nth(1).and_then(|role| serve(role.to_str()?)) {
        return ended;
    }
    // A session of its own: the terminal of whoever started hcsd must not stop or end it.
    let _ = rustix::process::setsid();
    // It is run by the number of a descriptor, which would otherwise be what process lists show.
    let _ = rustix::thread::set_name(c"hcs-worker");
    let parent = match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(parent) => parent,
        Err(error) => {
            hcs_core::complain!("hcs-worker: no connection to hcsd: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = hcs_container::zygote::prepare() {
        hcs_core::complain!("hcs-worker: {error}");
        return ExitCode::FAILURE;
    }
    // Else a twin would hold the connection of this one.
    if let Err(error) = forget_stdin() {
        hcs_core::complain!("hcs-worker: opening /dev/null: {error}");
        return ExitCode::FAILURE;
    }
    match hcs_worker::Worker::new(parent).run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            hcs_core::complain!("hcs-worker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Another role of the program, by what it was told to be: it serves a guest at its standard input.
fn serve(role: &str) -> Option<ExitCode> {
    let stdin = || {
        let socket = std::io::stdin().as_fd().try_clone_to_owned();
        socket.map_err(|error| Error::from_io(&error, "taking the socket"))
    };
    let served = match role {
        folder_port::ROLE => stdin().and_then(hcs_folders::serve),
        sockets::ROLE => stdin().and_then(hcs_sockets::carry),
        _ => return None,
    };
    Some(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            hcs_core::complain!("hcs-worker: {role}: {error}");
            ExitCode::FAILURE
        }
    })
}

fn forget_stdin() -> rustix::io::Result<()> {
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(nothing)
}

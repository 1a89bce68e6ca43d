//! hcsd: the host compute service.
//!
//! It owns the registry of compute systems, access to them, the service's settings and the crash reports. It
//! runs no workload: each system has a worker process that outlives it, so even kill -9 of hcsd loses nothing.
//!
//! ```text
//!  server ── conversation (a task per connection) ── methods ── session (handles, events)
//!                                           │
//!                                        registry ── system (a task each) ── worker process
//! ```
//!
//! One thread runs everything: a call that does nothing then costs two context switches and no lock is ever
//! contended. It is kept responsive by never touching a path of a client's document here; that is the workers'
//! business, and a file system that hangs then hangs one worker.

mod access;
mod blocking;
mod clean_up;
mod config;
mod connection;
mod conversation;
mod descriptor_limit;
mod host;
mod methods;
mod metrics;
mod operations;
mod process_identity;
mod reading;
mod record;
mod registry;
mod reply;
mod restart;
mod rights;
mod run_lock;
mod server;
mod service;
mod session;
mod spare_workers;
mod system;
mod systemd;
mod temporary;
mod watch;
mod worker;

use std::{
    fmt::Display,
    io::{self, Write},
    panic,
    process::ExitCode,
};

use tokio::runtime::{Builder, Runtime};

/// What it ends with if its settings are wrong (EX_CONFIG): another start will not help.
const WRONG_SETTINGS: u8 = 78;

fn main() -> ExitCode {
    let config = match config::Config::load() {
        Ok(config) => config,
        Err(error) => {
            tell(&error);
            return ExitCode::from(WRONG_SETTINGS);
        }
    };
    if let Some(extent) = config.clean_up {
        let is_free = clean_up::run(&config, extent);
        return if is_free { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    // Whoever started it does not decide who may use what it makes. Workers inherit it.
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    systemd::start_log(&config.settings);
    systemd::keep_descriptors();
    descriptor_limit::raise();
    hcs_container::attributes::outlive_others();
    if let Err(error) = rights::use_own() {
        tell(&error);
        return ExitCode::FAILURE;
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(why) => {
            tell(&format!("no runtime: {why}"));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(server::run(config));
    // A thread that waits for a disk of a client must not keep the service from ending.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            ExitCode::FAILURE
        }
    }
}

/// What runs everything. Tokio panics where it cannot have what it hears signals by, which is no fault of the service's.
fn runtime() -> Result<Runtime, String> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let built = panic::catch_unwind(|| Builder::new_current_thread().enable_all().build());
    panic::set_hook(hook);
    match built {
        Ok(built) => built.map_err(|error| error.to_string()),
        Err(said) => {
            Err(said.downcast_ref::<String>().map_or("it cannot be made", String::as_str).to_owned())
        }
    }
}

/// Says why it ends. Where nobody takes that, the exit code still tells.
fn tell(why: &impl Display) {
    let _ = writeln!(io::stderr(), "hcsd: {why}");
}

//! Where things are on this host.

use std::{env, path::PathBuf};

/// The path in a variable of the environment, if it is set to one.
pub fn named(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// What goes with a reboot: below `HCS_ROOT`, or that of the system's service.
pub fn run_folder() -> PathBuf {
    named("HCS_ROOT").map_or_else(|| "/run/hcs".into(), |root| root.join("run"))
}

/// What stays over a reboot.
pub fn state_folder() -> PathBuf {
    named("HCS_ROOT").map_or_else(|| "/var/lib/hcs".into(), |root| root.join("lib"))
}

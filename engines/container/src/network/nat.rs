//! The way from our bridge to the world: addresses are translated by nftables, in a table of our own.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use hcs_core::{Error, host_program};

use super::plan::MODE;

const PACKAGE: &str = "nftables";

/// How long nft may take; others wait for the bridge meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fails if the host has no nftables.
pub fn check() -> Result<(), Error> {
    program().map(|_| ())
}

fn program() -> Result<PathBuf, Error> {
    host_program::find("nft", PACKAGE).map_err(|error| error.at(MODE))
}

/// Lets packets from the bridge out and their answers in. Forwarding stays on afterwards: others may rely on it by then.
pub fn set_up(bridge: &str, subnet: &str) -> Result<(), Error> {
    let forward = "/proc/sys/net/ipv4/ip_forward";
    fs::write(forward, "1").map_err(|error| Error::from_io(&error, format!("writing {forward}")))?;
    run(&format!(
        "add table ip hcs
add chain ip hcs out {{ type nat hook postrouting priority srcnat; }}
add chain ip hcs pass {{ type filter hook forward priority filter; }}
flush table ip hcs
add rule ip hcs out ip saddr {subnet} oifname != \"{bridge}\" masquerade
add rule ip hcs pass iifname \"{bridge}\" accept
add rule ip hcs pass oifname \"{bridge}\" ct state established,related accept
"
    ))
}

/// Takes it away.
pub fn remove() -> Result<(), Error> {
    run("add table ip hcs\ndelete table ip hcs\n")
}

/// All of a script, or nothing.
fn run(script: &str) -> Result<(), Error> {
    host_program::run_with(script, Command::new(program()?).args(["-f", "-"]), PATIENCE)
}

//! The way from our bridge to the world: addresses are translated by nftables, in a table of our own.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use hcs_core::{Cause, Error};

use super::{host_program, plan::MODE};

const PACKAGE: &str = "nftables";

/// Fails if the host has no nftables.
pub fn check() -> Result<(), Error> {
    host_program::find("nft", PACKAGE, MODE).map(|_| ())
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
    let failed = |error: std::io::Error| Error::from_io(&error, "running nft");
    let mut child = Command::new(host_program::find("nft", PACKAGE, MODE)?)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(Cause::Unexpected, format!("nft failed: {}", said.trim())))
}

//! A view of the host in which every peer works: one of them refuses a hybrid cgroup tree.

use std::{env, process::Command};

use crate::Outcome;

/// Starts this program in it, to do a measurement there.
pub fn again(name: &str, rest: &[&str]) -> Outcome {
    const SCRIPT: &str = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", SCRIPT, "sh"])
        .arg(env::current_exe()?)
        .args(["apart", name])
        .args(rest);
    match command.status()?.success() {
        true => Ok(()),
        false => Err(format!("{name}: the measurement failed, or a promise is not kept").into()),
    }
}

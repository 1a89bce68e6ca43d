//! The end of the machine, when its host asks for it: by the distribution that runs in it, or by us where we are all that runs.

use std::{process::Command, time::Duration};

use hcs_core::host_program;
use rustix::system::RebootCommand;

/// Programs by which a distribution is asked to end itself in order.
const PROGRAMS: &[&str] = &["/usr/bin/systemctl", "/bin/systemctl", "/sbin/poweroff", "/usr/sbin/poweroff"];

/// How long one of them may take to ask.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ends the machine: a distribution by itself, in its own order; a machine whose init is ours at once, with everything
/// written.
pub fn off() {
    if !init_is_ours() {
        for program in PROGRAMS {
            let mut command = Command::new(program);
            if program.ends_with("systemctl") {
                command.arg("poweroff");
            }
            if host_program::run_with("", &mut command, PATIENCE).is_ok() {
                return;
            }
        }
    }
    rustix::fs::sync();
    if let Err(errno) = rustix::system::reboot(RebootCommand::PowerOff) {
        hcs_core::complain!("hcs-guest: switching the machine off: {errno}");
    }
}

/// Whether the first process is of this program.
fn init_is_ours() -> bool {
    let program = |link: &str| std::fs::read_link(link).ok();
    program("/proc/1/exe").is_some_and(|first| Some(first) == program("/proc/self/exe"))
}

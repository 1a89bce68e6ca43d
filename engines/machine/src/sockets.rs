//! The program that carries the sockets of a machine (`hcs_sockets`): what its guest says to a port of the host comes out at a Unix
//! socket that somebody has made there, and who connects to the guest does so at one that this program makes. It is the worker's
//! own program in another role.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use hcs_container::{cgroup::Cgroup, host_view::View};
use hcs_core::{Error, ready};
use rustix::{event::PollFlags, thread::CapabilitySet};

use crate::helper::{self, Helper};

/// What its process is told to be.
pub const ROLE: &str = "sockets";
/// Where it sees the folder of the machine's sockets, and makes one there.
pub const FOLDER: &str = "/sockets";

/// How long sockets may take what is left for them when QEMU has ended; then it ends, too.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// It, running.
pub struct Sockets {
    program: Helper,
}

impl Sockets {
    /// Starts it for the sockets in this folder; what QEMU speaks to it by.
    pub fn start(cgroup: &Cgroup, folder: &str) -> Result<(OwnedFd, Sockets), Error> {
        let (qemu, own) = helper::conversation(Path::new(helper::OWN_PROGRAM))?;
        let view = View::bare()?.with_folder(Path::new(folder), FOLDER)?;
        // It connects to the sockets of everybody who could make one there.
        let rights = (CapabilitySet::DAC_OVERRIDE, &view);
        let program = Helper::in_role(ROLE, own.as_fd(), rights, cgroup)?;
        Ok((qemu, Sockets { program }))
    }

    /// Waits until what the guest has said is passed on, if it is soon. QEMU must have ended.
    pub fn finish(self) {
        /// What it needs to end.
        const MOMENT: Duration = Duration::from_millis(500);
        let _ = ready::until(self.program.as_fd(), PollFlags::IN, Some(Instant::now() + LAST_WORDS + MOMENT));
    }
}

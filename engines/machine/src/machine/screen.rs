//! The screen of a machine: looked at by VNC, through a socket that is ours, and pictured.

use std::os::fd::{AsFd, OwnedFd};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{MemfdFlags, OFlags},
    io::Errno,
    net::{SocketFlags, acceptfrom_with},
};
use serde_json::json;

use super::{Machine, Running};
use crate::memory::reopen;

impl Machine {
    /// A picture of the screen, as a file of the form PNG.
    pub fn picture(&mut self) -> Result<OwnedFd, Error> {
        if self.plan.display.is_none() {
            return Err(
                Error::new(Cause::NotConfigured, "the machine has no screen").hint("Give it a VideoMonitor.")
            );
        }
        self.running()?.picture()
    }
}

impl Running {
    fn picture(&mut self) -> Result<OwnedFd, Error> {
        let failed = |errno: Errno| Error::from_errno(errno.raw_os_error(), "making room for a picture");
        let file = rustix::fs::memfd_create("hcs-picture", MemfdFlags::CLOEXEC).map_err(failed)?;
        let to_write = reopen(&file, OFlags::WRONLY).map_err(failed)?;
        self.with_file(to_write.as_fd(), |running, given| {
            let place = format!("/dev/fdset/{}", given.set);
            running.qmp.run("screendump", json!({"filename": place, "device": "screen", "format": "png"}))
        })?;
        Ok(file)
    }

    /// Lets in who wants to look at the screen. QEMU speaks to them; who could connect may look.
    pub(super) fn let_viewers_in(&mut self) {
        let Some(listener) = &self.viewers else { return };
        match acceptfrom_with(listener, SocketFlags::CLOEXEC) {
            Ok((viewer, _)) => {
                if let Err(error) = self.let_in(&viewer) {
                    hcs_core::complain!("hcs-worker: somebody who wants to look at the screen: {error}");
                }
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
            Err(errno) => hcs_core::complain!("hcs-worker: the socket of the screen: {errno}"),
        }
    }

    fn let_in(&mut self, viewer: &OwnedFd) -> Result<(), Error> {
        self.hand_over(viewer.as_fd())?;
        let arguments = json!({"protocol": "vnc", "fdname": super::hotplug::HANDED_OVER, "skipauth": true});
        self.qmp.run("add_client", arguments).map(|_| ()).inspect_err(|_| self.take_back())
    }
}

//! The screen of a machine: looked at by VNC, through a socket that is ours, and pictured.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

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

/// Where one waits who wants to look.
pub struct Viewers {
    listener: OwnedFd,
    /// Nobody can be let in before.
    pause_ends: Option<Instant>,
}

impl Viewers {
    /// How long nobody is let in after somebody could not be, for want of descriptors mostly: he still waits, and would be
    /// told of at once.
    const PAUSE: Duration = Duration::from_secs(1);

    /// Those who wait here.
    pub fn new(listener: OwnedFd) -> Viewers {
        Viewers { listener, pause_ends: None }
    }

    /// Readable when somebody waits; nobody is looked for in a pause.
    pub fn readable(&self) -> Option<BorrowedFd<'_>> {
        self.pause_ends.is_none().then(|| self.listener.as_fd())
    }

    /// When somebody is looked for again.
    pub fn pause_ends(&self) -> Option<Instant> {
        self.pause_ends
    }

    fn next(&mut self) -> Result<Option<OwnedFd>, Errno> {
        if self.pause_ends.is_some_and(|until| until > Instant::now()) {
            return Ok(None);
        }
        self.pause_ends = None;
        match acceptfrom_with(&self.listener, SocketFlags::CLOEXEC) {
            Ok((viewer, _)) => Ok(Some(viewer)),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(errno) => {
                self.pause_ends = Some(Instant::now() + Viewers::PAUSE);
                Err(errno)
            }
        }
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
        let Some(viewers) = &mut self.viewers else { return };
        match viewers.next() {
            Ok(None) => {}
            Ok(Some(viewer)) => {
                if let Err(error) = self.let_in(&viewer) {
                    hcs_core::complain!("hcs-worker: somebody who wants to look at the screen: {error}");
                }
            }
            Err(errno) => hcs_core::complain!("hcs-worker: the socket of the screen: {errno}"),
        }
    }

    fn let_in(&mut self, viewer: &OwnedFd) -> Result<(), Error> {
        self.hand_over(viewer.as_fd())?;
        let arguments = json!({"protocol": "vnc", "fdname": super::hotplug::HANDED_OVER, "skipauth": true});
        self.qmp.run("add_client", arguments).map(|_| ()).inspect_err(|_| self.take_back())
    }
}

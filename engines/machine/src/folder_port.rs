//! The program that serves shared folders at one port of the host, for guests that have sockets and know 9P (`hcs_folders`). It
//! is the worker's own program in another role, and as [`crate::shares`] it sees the folders, and acts for every user of the
//! guest. It makes no devices and gives no programs rights, so it has less.
//!
//! There is one for each port. What is shared there comes and goes as mounts, and with the last of it the program ends.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use hcs_container::{
    cgroup::Cgroup,
    host_view::View,
    shares::{self, SharedFolder, Shares},
};
use hcs_core::{Cause, Error, ready};
use rustix::{event::PollFlags, io::Errno, thread::CapabilitySet};

use crate::{helper::Helper, plan::Host, port};

/// What its process is told to be.
pub const ROLE: &str = "folders";

/// What files need of one who acts for others.
pub(crate) const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID);

/// A port at which folders are served.
pub struct FolderPort {
    program: Helper,
    shares: Shares,
    served: Vec<SharedFolder>,
    socket: Socket,
}

/// The socket of the port. It goes with whoever has made it.
struct Socket {
    folder: OwnedFd,
    port: u32,
}

impl Drop for Socket {
    fn drop(&mut self) {
        port::close(&self.folder, self.port);
    }
}

impl FolderPort {
    /// Listens at a port; nothing is served there yet.
    pub fn open(host: &Host, cgroup: &Cgroup, port: u32) -> Result<FolderPort, Error> {
        let folder = port::open_folder(host.sockets.as_ref())?;
        // Who listens there already keeps the name.
        let listener = listen(&folder, port)?;
        let socket = Socket { folder, port };
        Ok(FolderPort {
            program: start(&listener, cgroup)?,
            shares: Shares::none()?,
            served: Vec::new(),
            socket,
        })
    }

    /// Serves a folder there. A program that has died is replaced first, with all that it has served.
    pub fn add(&mut self, share: &SharedFolder, cgroup: &Cgroup) -> Result<(), Error> {
        if let Err(error) = self.shares.add(share, self.program.as_fd()) {
            if !self.dies_of(&error) {
                return Err(error);
            }
            self.begin_anew(cgroup)?;
            self.shares.add(share, self.program.as_fd())?;
        }
        self.served.push(share.clone());
        Ok(())
    }

    /// Whether this is because the program is dead, or is within a moment: while one dies it lets nobody in.
    fn dies_of(&self, error: &Error) -> bool {
        const MOMENT: Duration = Duration::from_millis(100);
        let ends = || ready::until(self.program.as_fd(), PollFlags::IN, Some(Instant::now() + MOMENT));
        // What names a member is the fault of the document.
        error.path.is_none() && ends().is_ok_and(|ended| !ended.is_empty())
    }

    fn begin_anew(&mut self, cgroup: &Cgroup) -> Result<(), Error> {
        port::close(&self.socket.folder, self.socket.port);
        let listener = listen(&self.socket.folder, self.socket.port)?;
        (self.program, self.shares) = (start(&listener, cgroup)?, Shares::none()?);
        // One that cannot be there again must not keep others from it.
        let (shares, program) = (&mut self.shares, self.program.as_fd());
        self.served.retain(|share| match shares.add(share, program) {
            Ok(()) => true,
            Err(error) => {
                hcs_core::complain!("hcs-worker: the share {:?} is not served any more: {error}", share.name);
                false
            }
        });
        Ok(())
    }

    /// Serves it no more; what a guest has of it is gone. Says whether there is nothing left to be served.
    pub fn remove(&mut self, share: &SharedFolder) -> Result<bool, Error> {
        // One that has died serves nothing.
        let is_served = self.served.iter().any(|served| served.name == share.name);
        if is_served
            && let Err(error) = self.shares.remove(share, self.program.as_fd())
            && !self.dies_of(&error)
        {
            return Err(error);
        }
        self.served.retain(|served| served.name != share.name);
        Ok(self.served.is_empty())
    }
}

fn listen(folder: &OwnedFd, port: u32) -> Result<OwnedFd, Error> {
    port::listen(folder, port).map_err(|errno| match errno {
        Errno::ADDRINUSE => {
            let detail = format!("somebody listens at port {port} of the machine already");
            Error::new(Cause::InUse, detail).hint("Choose another port, or remove that socket.")
        }
        errno => Error::from_errno(errno.raw_os_error(), format!("making the socket {}", port::name(port))),
    })
}

fn start(listener: &OwnedFd, cgroup: &Cgroup) -> Result<Helper, Error> {
    let view = View::bare()?.with_open_folder(shares::FOLDER)?;
    Helper::in_role(ROLE, listener.as_fd(), (CAPABILITIES, &view), cgroup)
}

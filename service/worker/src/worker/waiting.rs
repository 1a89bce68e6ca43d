//! All that a worker waits for: the listener, hcsd and other callers, the processes and their streams, what a machine tells, and
//! the end of the system.

use std::{io, time::Instant};

use hcs_core::ready;
use rustix::event::{PollFd, PollFlags};

use super::Worker;
use crate::{carrier::Which as Part, guest::Guest, kept};

/// What became ready, by the thing that waited.
pub enum Ready {
    /// Somebody wants to connect.
    Listener,
    /// hcsd.
    Connection,
    /// Somebody who has not said what for.
    Caller,
    /// The hcsd of a container in the machine.
    Hosted(String),
    /// The process whose death is the end of the system.
    Init,
    /// A process has ended.
    Process(u32),
    /// The input of a process can be moved on.
    Input(u32),
    /// A console that nobody but the worker reads.
    Unread(u32),
    /// What is kept, or who asks for it.
    Kept(kept::Which),
    /// The same of a container in the machine.
    KeptOfHosted(String, kept::Which),
    /// A machine tells something.
    Monitor,
    /// The port of its guest.
    Guest(Part),
    /// An application that is devices of it.
    DeviceHost(u64),
}

impl Worker {
    /// Waits until something is ready, or until there is something to do; what, in the order in which it is to be dealt with.
    pub(super) fn wait(&self) -> io::Result<Vec<Ready>> {
        let device_hosts = self.system.device_hosts().look();
        let (mut who, mut fds) = (Vec::new(), Vec::new());
        if let Some(listener) = self.listener.as_ref().filter(|_| self.lets_in_at.is_none()) {
            who.push(Ready::Listener);
            fds.push(PollFd::new(listener, PollFlags::IN));
        }
        if let Some(connection) = &self.connection {
            let wanted = if connection.has_unsent() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            who.push(Ready::Connection);
            fds.push(PollFd::new(&connection.socket, wanted));
        }
        for caller in &self.callers {
            who.push(Ready::Caller);
            fds.push(PollFd::new(&caller.socket, PollFlags::IN));
        }
        for (id, hosted) in &self.hosted {
            let Some(connection) = &hosted.connection else { continue };
            let wanted = if connection.has_unsent() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            who.push(Ready::Hosted(id.clone()));
            fds.push(PollFd::new(&connection.socket, wanted));
        }
        for (process_id, pidfd) in self.system.processes().living() {
            who.push(Ready::Process(process_id));
            fds.push(PollFd::from_borrowed_fd(pidfd, PollFlags::IN));
        }
        for (process_id, relay) in self.system.processes().relays() {
            let (fd, wanted) = relay.interest();
            who.push(Ready::Input(process_id));
            fds.push(PollFd::new(fd, wanted));
            // No events are asked for here: only the error of a reader that is gone is reported.
            who.push(Ready::Input(process_id));
            fds.push(PollFd::new(relay.process_end(), PollFlags::empty()));
        }
        for (process_id, console) in self.system.processes().unread_consoles() {
            who.push(Ready::Unread(process_id));
            fds.push(PollFd::new(console, PollFlags::IN));
        }
        for (which, fd, wanted) in self.system.heard_output().interest() {
            who.push(Ready::Kept(which));
            fds.push(PollFd::from_borrowed_fd(fd, wanted));
        }
        for (id, hosted) in &self.hosted {
            for (which, fd, wanted) in hosted.kept.interest() {
                who.push(Ready::KeptOfHosted(id.clone(), which));
                fds.push(PollFd::from_borrowed_fd(fd, wanted));
            }
        }
        for monitor in self.system.monitors() {
            who.push(Ready::Monitor);
            fds.push(PollFd::from_borrowed_fd(monitor, PollFlags::IN));
        }
        if let Some(guest) = self.system.heard_guest() {
            for (which, fd, wanted) in guest.interest() {
                who.push(Ready::Guest(which));
                fds.push(PollFd::from_borrowed_fd(fd, wanted));
            }
        }
        // Last: what processes say comes before the end of the system.
        if let Some(init) = self.system.init() {
            who.push(Ready::Init);
            fds.push(PollFd::from_borrowed_fd(init, PollFlags::IN));
        }
        // Behind even that: an application that hangs up because the machine has ended has failed nobody.
        for (host, fd, wanted) in device_hosts.interest() {
            who.push(Ready::DeviceHost(host));
            fds.push(PollFd::from_borrowed_fd(fd, wanted));
        }
        ready::any_until(&mut fds, self.wakes_at())?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        Ok(who.into_iter().zip(ready).filter_map(|(who, ready)| ready.then_some(who)).collect())
    }

    /// When nobody comes any more. As long as somebody is connected it does not matter how long nothing is asked: a spare
    /// worker waits for days.
    pub(super) fn gives_up_at(&self) -> Option<Instant> {
        self.idle_until.filter(|_| self.connection.is_none())
    }

    /// When there is something to do though nothing has come.
    fn wakes_at(&self) -> Option<Instant> {
        let guest = self.system.heard_guest().and_then(Guest::deadline);
        let devices = self.system.device_hosts().deadline();
        let until = [
            self.system.deadline(),
            self.system.hears_at(),
            guest,
            devices,
            self.gives_up_at(),
            self.lets_in_at,
        ];
        until.into_iter().flatten().min()
    }
}

//! The applications that are devices of one machine: who comes, who goes, what they say of themselves, and what they are asked.

use std::{
    collections::BTreeMap,
    os::fd::{BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error, ready};
use hcs_ipc::device_host::{Ask, Said};
use hcs_schema::Guid;
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    net::{AddressFamily, Shutdown, SocketFlags, SocketType},
};

use super::{
    failures::Failures,
    host::{Heard, Host},
};
use crate::connection::Broken;

/// How many reads are enough to hear who has caught up.
const MOST_READS: usize = 16;
/// How many restricted hosts a machine may have.
const MOST_RESTRICTED: usize = 64;

/// The hosts of a machine, by the order in which they came.
#[derive(Default)]
pub struct Hosts {
    hosts: BTreeMap<u64, Host>,
    next: u64,
    /// What has failed of the devices that the machine has or had.
    pub failures: Failures,
    /// The sockets by which QEMU speaks to devices: so long as they are held here nobody's death closes them.
    sockets: BTreeMap<Guid, OwnedFd>,
}

/// Why there is no answer.
pub enum Silence {
    /// The application has hung up, or cannot be understood.
    Gone,
    /// It takes too long.
    Late,
}

impl Hosts {
    /// Each host, and what is to be waited for there.
    pub fn interest(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>, PollFlags)> {
        self.hosts.iter().map(|(id, host)| {
            let (channel, wanted) = host.interest();
            (*id, channel, wanted)
        })
    }

    /// A channel for one more host: the application's end.
    pub fn open(&mut self, is_restricted: bool) -> Result<OwnedFd, Error> {
        for host in self.of_kind(is_restricted) {
            // It may have hung up just now.
            self.catch_up(host);
        }
        let left = self.of_kind(is_restricted).len();
        if !is_restricted && left > 0 {
            let detail = "an application hosts devices of the virtual machine already";
            return Err(Error::new(Cause::DeviceHostExists, detail)
                .hint("It is gone when it has torn its device host down, or has ended."));
        }
        if left >= MOST_RESTRICTED {
            let detail = format!("the virtual machine has {left} restricted device hosts, which is the most");
            return Err(Error::new(Cause::NotEnoughQuota, detail));
        }
        let failed =
            |errno: Errno| Error::from_errno(errno.raw_os_error(), "making a channel for a host of devices");
        let pair =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let (ours, theirs) = pair.map_err(failed)?;
        let host = Host::greet(ours, is_restricted)
            .map_err(|Broken| Error::new(Cause::Unexpected, "a new channel takes no message"))?;
        self.next += 1;
        self.hosts.insert(self.next, host);
        Ok(theirs)
    }

    /// The hosts that are restricted, or those that are not.
    pub fn of_kind(&self, is_restricted: bool) -> Vec<u64> {
        let same = self.hosts.iter().filter(|(_, host)| host.is_restricted == is_restricted);
        same.map(|(id, _)| *id).collect()
    }

    /// The host that is this device.
    pub fn host_of(&self, instance: Guid) -> Option<u64> {
        let mut hosts = self.hosts.iter();
        hosts.find(|(_, host)| host.devices.contains_key(&instance)).map(|(id, _)| *id)
    }

    /// Takes what a host has said, or that it is gone.
    pub fn hear(&mut self, id: u64) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let (heard, outcome) = host.listen();
        let mut broken = Vec::new();
        for what in heard {
            match what {
                Heard::Nothing => {}
                Heard::Connected(instance, socket) => _ = self.sockets.insert(instance, socket),
                Heard::Broken(instance, class, detail) => broken.push((instance, class, detail)),
            }
        }
        // Before it is given up for what came behind.
        for (instance, class, detail) in broken {
            self.note(instance, class, &detail);
        }
        if outcome.is_err() {
            self.lose(id);
        }
    }

    /// Hears what a host has said by now, within reason.
    fn catch_up(&mut self, id: u64) {
        for _ in 0..MOST_READS {
            if self.ready(&[id], Instant::now()).is_empty() {
                break;
            }
            self.hear(id);
        }
    }

    /// A device of the machine works no more; the machine goes on.
    fn note(&mut self, instance: Guid, class: Guid, detail: &str) {
        hcs_core::complain!("hcs-worker: the device {instance} of class {class} has failed: {detail}");
        if let Some(socket) = self.sockets.get(&instance) {
            // QEMU sees the end, and not the error that a close would be. It is held until the machine has the device no more.
            let _ = rustix::net::shutdown(socket, Shutdown::Both);
        }
        self.failures.add(instance, class);
    }

    /// A host is gone, and its devices with it.
    fn lose(&mut self, id: u64) {
        let Some(host) = self.hosts.remove(&id) else { return };
        for (instance, class) in host.devices {
            self.note(instance, class, "its application has hung up, or cannot be understood");
        }
    }

    /// The device comes anew: QEMU will speak to it by another socket.
    pub fn comes_anew(&mut self, instance: Guid) {
        self.sockets.remove(&instance);
        self.failures.comes_anew(instance);
    }

    /// The device of a host has failed, whatever the host says.
    pub fn fail(&mut self, id: u64, instance: Guid, why: &str) {
        if let Some(class) = self.hosts.get_mut(&id).and_then(|host| host.devices.remove(&instance)) {
            self.note(instance, class, why);
        }
    }

    /// The host is this device no more, and that is no failure.
    pub fn give_up(&mut self, id: u64, instance: Guid) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.devices.remove(&instance);
        }
    }

    /// The device is none of the machine's any more.
    pub fn forget(&mut self, instance: Guid) {
        self.failures.forget(instance);
        self.sockets.remove(&instance);
    }

    /// Asks hosts, all at once, and waits so long for the answers. One that is late with another is not waited for.
    pub fn ask(
        &mut self,
        asks: Vec<(u64, Ask, Vec<OwnedFd>)>,
        patience: Duration,
    ) -> Vec<Result<Said, Silence>> {
        self.ask_and_wait(asks, patience, false)
    }

    /// The same; one that is late is waited for as well if it `may_be_late`.
    pub fn ask_and_wait(
        &mut self,
        asks: Vec<(u64, Ask, Vec<OwnedFd>)>,
        patience: Duration,
        may_be_late: bool,
    ) -> Vec<Result<Said, Silence>> {
        let deadline = Instant::now() + patience;
        let each = asks
            .into_iter()
            .map(|(id, ask, fds)| self.put(id, ask, fds, may_be_late).map(|number| (id, number)));
        let asked: Vec<Result<(u64, u64), Silence>> = each.collect();
        loop {
            let is_awaited =
                |(id, number): &&(u64, u64)| self.hosts.get(id).is_some_and(|host| host.is_awaited(*number));
            let awaited: Vec<u64> = asked.iter().flatten().filter(is_awaited).map(|(id, _)| *id).collect();
            if awaited.is_empty() || Instant::now() >= deadline {
                break;
            }
            self.ready(&awaited, deadline).into_iter().for_each(|id| self.hear(id));
        }
        asked.into_iter().map(|asked| asked.and_then(|(id, number)| self.answer(id, number))).collect()
    }

    /// Puts a question to a host.
    fn put(&mut self, id: u64, ask: Ask, fds: Vec<OwnedFd>, may_be_late: bool) -> Result<u64, Silence> {
        self.catch_up(id);
        let host = self.hosts.get_mut(&id).ok_or(Silence::Gone)?;
        if host.is_behind() && !may_be_late {
            return Err(Silence::Late);
        }
        let said = host.say(ask, fds);
        said.map_err(|Broken| {
            self.lose(id);
            Silence::Gone
        })
    }

    /// What came of a question, for which nobody waits any longer.
    fn answer(&mut self, id: u64, number: u64) -> Result<Said, Silence> {
        let host = self.hosts.get_mut(&id).ok_or(Silence::Gone)?;
        host.answer(number).ok_or(Silence::Late)
    }

    /// Asks hosts that are given so much time, and not asked what came of it.
    pub fn tell(&mut self, asks: Vec<(u64, Ask)>, patience: Duration) {
        let (mut waited, mut behind) = (Vec::new(), Vec::new());
        for (id, ask) in asks {
            self.catch_up(id);
            match self.hosts.get(&id).is_some_and(Host::is_behind) {
                // It hears of it in its time.
                true => behind.push((id, ask)),
                false => waited.push((id, ask, Vec::new())),
            }
        }
        behind.into_iter().for_each(|(id, ask)| self.leave(id, ask));
        self.ask(waited, patience);
    }

    /// Asks a host something for which nobody waits.
    pub fn leave(&mut self, id: u64, ask: Ask) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        if let Err(Broken) = host.say_by_the_way(ask) {
            self.lose(id);
        }
    }

    /// Waits until something is to be done at one of these hosts; at which, none if it takes longer.
    fn ready(&self, ids: &[u64], deadline: Instant) -> Vec<u64> {
        let (hosts, mut polled): (Vec<u64>, Vec<PollFd<'_>>) = self
            .interest()
            .filter(|(id, ..)| ids.contains(id))
            .map(|(id, channel, wanted)| (id, PollFd::from_borrowed_fd(channel, wanted)))
            .unzip();
        if ready::any_until(&mut polled, Some(deadline)).is_err() {
            // What has failed is found when it is read.
            return ids.to_vec();
        }
        let ready = hosts.into_iter().zip(&polled).filter(|(_, polled)| !polled.revents().is_empty());
        ready.map(|(id, _)| id).collect()
    }
}

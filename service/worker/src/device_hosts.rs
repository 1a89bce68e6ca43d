//! Applications that are devices of the machine: the channels to them, what they are asked there, and what has become of the
//! devices. The engine asks by way of [`hcs_machine::DeviceHosts`], and waits for the answer, as the worker does nothing else
//! meanwhile; so every wait has a limit, and who once did not keep to it is not waited for until it has caught up.

use std::{
    cell::{Ref, RefCell},
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
    time::{Duration, Instant},
};

use hcs_core::{Cause, DeviceFailure, Error};
use hcs_ipc::{
    hosting::{Ask, FromHost, Said, ToHost, VERSION},
    worker::Numbered,
};
use hcs_machine::{DeviceHosts, plan::HostedDevice};
use hcs_schema::{Guid, VirtualDeviceFailureDetail};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
};

use crate::connection::{Broken, Connection};

/// How long an application may take to make a device.
const TO_SERVE: Duration = Duration::from_secs(20);
/// How long it may take to start one.
const TO_START: Duration = Duration::from_secs(10);
/// How long it may take to stop one, or to give it up.
const TO_STOP: Duration = Duration::from_secs(5);

/// How many restricted hosts a machine may have.
const MOST_RESTRICTED: usize = 64;

/// The hosts of a machine. Clones are the same; one is the engine's.
#[derive(Clone, Default)]
pub struct Shared(Rc<RefCell<Hosts>>);

/// The hosts of a machine, by the order in which they came.
#[derive(Default)]
pub struct Hosts {
    hosts: BTreeMap<u64, Host>,
    next: u64,
    /// What has failed of the devices that the machine has or had.
    failures: Vec<DeviceFailure>,
    /// Those of them that the machine has not been told of.
    untold: Vec<Guid>,
}

/// An application.
struct Host {
    connection: Connection,
    is_restricted: bool,
    /// The devices that it is, and their classes.
    devices: BTreeMap<Guid, Guid>,
    asked: u64,
    /// The questions whose answers are not waited for any more.
    late: BTreeSet<u64>,
}

/// Why there is no answer.
enum Silence {
    /// The application has hung up, or cannot be understood.
    Gone,
    /// It takes too long.
    Late,
}

impl Shared {
    /// A channel for one more host: the application's end.
    pub fn open(&self, is_restricted: bool) -> Result<OwnedFd, Error> {
        self.0.borrow_mut().open(is_restricted)
    }

    /// The hosts, to be polled.
    pub fn look(&self) -> Ref<'_, Hosts> {
        self.0.borrow()
    }

    /// A host has said something or has hung up.
    pub fn hear(&self, host: u64) {
        let mut hosts = self.0.borrow_mut();
        if hosts.listen(host).is_err() {
            hosts.lose(host);
        }
    }

    /// The devices that have failed since the last time this was asked.
    pub fn take_failed(&self) -> Vec<Guid> {
        std::mem::take(&mut self.0.borrow_mut().untold)
    }

    /// The machine has ended: hangs up on everybody. What had failed before.
    pub fn end(&self) -> Vec<DeviceFailure> {
        std::mem::take(&mut *self.0.borrow_mut()).failures
    }
}

impl Hosts {
    /// Each host, and what is to be waited for there.
    pub fn interest(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>, PollFlags)> {
        self.hosts.iter().map(|(id, host)| (*id, host.connection.socket.as_fd(), host.wanted()))
    }

    fn open(&mut self, is_restricted: bool) -> Result<OwnedFd, Error> {
        let same: Vec<u64> = self.of_kind(is_restricted);
        for host in &same {
            // It may have hung up just now.
            if self.listen(*host).is_err() {
                self.lose(*host);
            }
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
        let mut connection = Connection::new(ours);
        let greeted = connection.send(&ToHost::Welcome { version: VERSION, is_restricted }, Vec::new());
        greeted.map_err(|Broken| Error::new(Cause::Unexpected, "a new channel takes no message"))?;
        self.next += 1;
        let (devices, late) = (BTreeMap::new(), BTreeSet::new());
        self.hosts.insert(self.next, Host { connection, is_restricted, devices, asked: 0, late });
        Ok(theirs)
    }

    fn of_kind(&self, is_restricted: bool) -> Vec<u64> {
        let same = self.hosts.iter().filter(|(_, host)| host.is_restricted == is_restricted);
        same.map(|(id, _)| *id).collect()
    }

    /// The host that is this device.
    fn host_of(&self, instance: Guid) -> Option<u64> {
        let mut hosts = self.hosts.iter();
        hosts.find(|(_, host)| host.devices.contains_key(&instance)).map(|(id, _)| *id)
    }

    /// Takes what a host has said; the answers in it.
    fn listen(&mut self, id: u64) -> Result<Vec<Numbered<Said>>, Broken> {
        let Some(host) = self.hosts.get_mut(&id) else { return Err(Broken) };
        host.connection.flush()?;
        let (mut answers, mut broken) = (Vec::new(), Vec::new());
        for message in host.connection.receive()? {
            match serde_json::from_slice(&message.text).map_err(|_| Broken)? {
                // One that comes late is heard, and that is all.
                FromHost::Reply(answer) if host.late.remove(&answer.number) => {}
                FromHost::Reply(answer) => answers.push(answer),
                FromHost::Broken { instance, detail } => {
                    if let Some(class) = host.devices.remove(&instance) {
                        broken.push((instance, class, detail));
                    }
                }
            }
        }
        for (instance, class, detail) in broken {
            self.note(instance, class, &detail);
        }
        Ok(answers)
    }

    /// A device of the machine works no more; the machine goes on.
    fn note(&mut self, instance: Guid, class: Guid, detail: &str) {
        eprintln!("hcs-worker: the device {instance} of class {class} has failed: {detail}");
        self.forget(instance);
        self.failures.push(DeviceFailure { phase: VirtualDeviceFailureDetail::None, class, instance });
        self.untold.push(instance);
    }

    /// What has failed of this device counts no more.
    fn forget(&mut self, instance: Guid) {
        self.failures.retain(|failure| failure.instance != instance);
        self.untold.retain(|other| *other != instance);
    }

    /// A host is gone, and its devices with it.
    fn lose(&mut self, id: u64) {
        let Some(host) = self.hosts.remove(&id) else { return };
        for (instance, class) in host.devices {
            self.note(instance, class, "its application has hung up");
        }
    }

    /// Asks a host, and waits so long for the answer.
    fn ask(&mut self, id: u64, ask: Ask, fds: Vec<OwnedFd>, patience: Duration) -> Result<Said, Silence> {
        let answered = self.try_ask(id, ask, fds, patience);
        if matches!(answered, Err(Silence::Gone)) {
            self.lose(id);
        }
        answered
    }

    fn try_ask(&mut self, id: u64, ask: Ask, fds: Vec<OwnedFd>, patience: Duration) -> Result<Said, Silence> {
        let gone = |Broken| Silence::Gone;
        let deadline = Instant::now() + patience;
        // It may have caught up, or have hung up.
        self.listen(id).map_err(gone)?;
        let host = self.hosts.get_mut(&id).ok_or(Silence::Gone)?;
        if !host.late.is_empty() {
            return Err(Silence::Late);
        }
        let number = host.say(ask, fds).map_err(gone)?;
        while self.waits(id, deadline) {
            let mut answers = self.listen(id).map_err(gone)?.into_iter();
            if let Some(answer) = answers.find(|answer| answer.number == number) {
                return Ok(answer.body);
            }
        }
        if let Some(host) = self.hosts.get_mut(&id) {
            host.late.insert(number);
        }
        Err(Silence::Late)
    }

    /// Asks a host that is given some time, and not asked what came of it.
    fn tell(&mut self, id: u64, ask: Ask) {
        if matches!(self.ask(id, ask.clone(), Vec::new(), TO_STOP), Err(Silence::Late))
            && let Some(host) = self.hosts.get_mut(&id)
        {
            // What is late already hears of it in its time.
            match host.say(ask, Vec::new()) {
                Ok(number) => _ = host.late.insert(number),
                Err(Broken) => self.lose(id),
            }
        }
    }

    /// Waits until something is to be done at a host; false if nothing is until then.
    fn waits(&self, id: u64, deadline: Instant) -> bool {
        let Some(host) = self.hosts.get(&id) else { return false };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let mut polled = [PollFd::new(&host.connection.socket, host.wanted())];
            match rustix::event::poll(&mut polled, Some(&left)) {
                Ok(0) => return false,
                Err(Errno::INTR) => {}
                // What has failed is found when it is read.
                Ok(_) | Err(_) => return true,
            }
        }
    }
}

impl Host {
    fn wanted(&self) -> PollFlags {
        if self.connection.has_unsent() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
    }

    /// Says what is asked, under the number that the answer will have.
    fn say(&mut self, body: Ask, fds: Vec<OwnedFd>) -> Result<u64, Broken> {
        self.asked += 1;
        let number = self.asked;
        self.connection.send(&ToHost::Ask(Numbered { number, body }), fds)?;
        Ok(number)
    }
}

impl DeviceHosts for Shared {
    fn serve(&mut self, device: &HostedDevice, listener: OwnedFd) -> Result<(), Error> {
        use VirtualDeviceFailureDetail::{FinishReservingResources, Initialize};
        let mut hosts = self.0.borrow_mut();
        let HostedDevice { instance, class, is_restricted, .. } = device;
        let deadline = Instant::now() + TO_SERVE;
        let (candidates, mut is_late) = (hosts.of_kind(*is_restricted), false);
        for host in candidates {
            let listener = listener.try_clone();
            let listener = listener.map_err(|error| Error::from_io(&error, "handing a socket over"))?;
            let (instance, class, configuration) = (*instance, *class, device.configuration.clone());
            let ask = Ask::Serve { instance, class, configuration };
            match hosts.ask(host, ask, vec![listener], deadline.saturating_duration_since(Instant::now())) {
                Ok(Said::Done) => {
                    hosts.forget(instance);
                    if let Some(host) = hosts.hosts.get_mut(&host) {
                        host.devices.insert(instance, class);
                    }
                    return Ok(());
                }
                Ok(Said::NotHere) | Err(Silence::Gone) => {}
                Ok(Said::Failed(failure)) => {
                    let error = Error::from(failure);
                    let detail = format!("the device {instance} of class {class}: {}", error.detail);
                    return Err(Error { detail, ..error }.of_device(device.failure(Initialize)));
                }
                Err(Silence::Late) => {
                    is_late = true;
                    hosts.tell(host, Ask::Remove { instance });
                }
            }
        }
        if is_late {
            let detail =
                format!("the application that has the device {instance} of class {class} does not answer");
            return Err(Error::new(Cause::DeadlineExceeded, detail).of_device(device.failure(Initialize)));
        }
        let kind = if *is_restricted { "restricted device hosts" } else { "device hosts" };
        let among = hosts.of_kind(*is_restricted).len();
        let detail = format!(
            "no application has the device {instance} of class {class}, which the machine needs to finish reserving resources; it has {among} {kind}"
        );
        Err(Error::new(Cause::Unexpected, detail)
            .hint("Create the device instance (HdvCreateDeviceInstance) before the machine starts or the device is added.")
            .of_device(device.failure(FinishReservingResources)))
    }

    fn has(&mut self, instance: Guid) -> bool {
        self.0.borrow().host_of(instance).is_some()
    }

    fn start(&mut self, instance: Guid) -> Result<(), Error> {
        let mut hosts = self.0.borrow_mut();
        let gone =
            || Error::new(Cause::Unexpected, format!("the application of the device {instance} is gone"));
        let host = hosts.host_of(instance).ok_or_else(gone)?;
        match hosts.ask(host, Ask::Start { instance }, Vec::new(), TO_START) {
            Ok(Said::Done) => Ok(()),
            Ok(Said::NotHere) | Err(Silence::Gone) => Err(gone()),
            Ok(Said::Failed(failure)) => {
                let error = Error::from(failure);
                Err(Error { detail: format!("starting the device {instance}: {}", error.detail), ..error })
            }
            Err(Silence::Late) => {
                let detail = format!("the application of the device {instance} does not start it");
                Err(Error::new(Cause::DeadlineExceeded, detail))
            }
        }
    }

    fn stop(&mut self, instance: Guid) {
        let mut hosts = self.0.borrow_mut();
        if let Some(host) = hosts.host_of(instance) {
            hosts.tell(host, Ask::Stop { instance });
        }
    }

    fn remove(&mut self, instance: Guid) {
        let mut hosts = self.0.borrow_mut();
        if let Some(host) = hosts.host_of(instance) {
            if let Some(host) = hosts.hosts.get_mut(&host) {
                host.devices.remove(&instance);
            }
            hosts.tell(host, Ask::Remove { instance });
        }
        // It is none of the machine's any more.
        hosts.forget(instance);
    }
}

#[cfg(test)]
#[path = "device_hosts_tests.rs"]
mod tests;

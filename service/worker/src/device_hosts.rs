//! Applications that are devices of the machine: the channels to them, what they are asked there, and what has become of the
//! devices. The engine asks by way of [`hcs_machine::DeviceHosts`], and waits for the answer, as the worker does nothing else
//! meanwhile; so every wait has a limit, and who once did not keep to it is not waited for until it has caught up.

use std::{
    cell::{Ref, RefCell},
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
    time::{Duration, Instant},
};

use hcs_core::{Cause, DeviceFailure, Error};
use hcs_ipc::{
    Message,
    hosting::{Ask, FromHost, Said, ToHost, VERSION},
    worker::{Failure, Numbered},
};
use hcs_machine::{DeviceHosts, NotStarted, plan::HostedDevice};
use hcs_schema::{Guid, VirtualDeviceFailureDetail};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
    net::{AddressFamily, Shutdown, SocketFlags, SocketType},
};

use crate::connection::{Broken, Connection};

/// How long it may take until a device is served: hcsd waits 45 s for a device that comes, and QEMU needs some of them.
const TO_SERVE: Duration = Duration::from_secs(20);
/// How long of that applications may take to say which of them has it.
const TO_FIND: Duration = Duration::from_secs(5);
/// How long they may take to start devices, all of a call together: hcsd waits 20 s for a machine to go on, and for QEMU's part
/// of that up to 10 s go by.
const TO_START: Duration = Duration::from_secs(8);
/// How long they may take to stop devices, or to give one up.
const TO_STOP: Duration = Duration::from_secs(4);
/// When it is tried again to take a device away that has failed.
const AGAIN: Duration = Duration::from_secs(1);

/// The largest message of an application, but for what one read brings more.
const LARGEST: usize = 64 << 10;
/// How many reads are enough to hear who has caught up.
const MOST_READS: usize = 16;
/// How many questions a host may leave open.
const MOST_QUESTIONS: usize = 64;
/// How much of what an application says is kept, in characters.
const LONGEST_WORDS: usize = 1024;
/// How many failures are remembered.
const MOST_FAILURES: usize = 64;
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
    failures: Vec<Failed>,
    /// Those of them that the machine is to be told of, and when.
    untold: BTreeMap<Guid, Instant>,
    /// The machine is about to end: who hangs up now has not failed.
    ends: bool,
    /// The sockets by which QEMU speaks to devices: so long as they are held here nobody's death closes them.
    sockets: BTreeMap<Guid, OwnedFd>,
}

/// A device that has failed.
struct Failed {
    failure: DeviceFailure,
    /// The device has come anew since.
    is_past: bool,
}

/// An application.
struct Host {
    connection: Connection,
    is_restricted: bool,
    /// The devices that it is, and their classes.
    devices: BTreeMap<Guid, Guid>,
    asked: u64,
    /// What it was asked and has not answered, or not been heard. It says nothing else by number.
    questions: BTreeMap<u64, Question>,
}

/// A question, by what has become of it.
enum Question {
    /// The answer is waited for. With it the host may be this device, of this class.
    Awaited(Option<(Guid, Guid)>),
    /// This is the answer.
    Answered(Said),
    /// The answer is not waited for any more.
    Late,
}

/// What an application has said, but for answers.
enum Heard {
    Nothing,
    /// QEMU is at the other end of this socket, and the device at this one.
    Connected(Guid, OwnedFd),
    /// The device has failed; its class, and why.
    Broken(Guid, Guid, String),
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

    /// A host has said something or has hung up; `ends` if the machine is about to end.
    pub fn hear(&self, host: u64, ends: bool) {
        let mut hosts = self.0.borrow_mut();
        hosts.ends = ends;
        hosts.hear(host);
    }

    /// The devices that have failed since the last time this was asked.
    pub fn take_failed(&self) -> Vec<Guid> {
        let (now, untold) = (Instant::now(), &mut self.0.borrow_mut().untold);
        let due: Vec<Guid> =
            untold.iter().filter(|(_, at)| **at <= now).map(|(instance, _)| *instance).collect();
        due.iter().for_each(|instance| _ = untold.remove(instance));
        due
    }

    /// The machine cannot let this device go now: it is told once more.
    pub fn tell_again(&self, instance: Guid) {
        self.0.borrow_mut().untold.insert(instance, Instant::now() + AGAIN);
    }

    /// When [`Shared::take_failed`] has something to tell.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.borrow().untold.values().min().copied()
    }

    /// The machine has ended: hangs up on everybody. What had failed before.
    pub fn end(&self) -> Vec<DeviceFailure> {
        let mut failures = Vec::new();
        for Failed { failure, .. } in std::mem::take(&mut *self.0.borrow_mut()).failures {
            if !failures.contains(&failure) {
                failures.push(failure);
            }
        }
        failures
    }
}

impl Hosts {
    /// Each host, and what is to be waited for there.
    pub fn interest(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>, PollFlags)> {
        self.hosts.iter().map(|(id, host)| (*id, host.connection.socket.as_fd(), host.wanted()))
    }

    fn open(&mut self, is_restricted: bool) -> Result<OwnedFd, Error> {
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
        let mut connection = Connection::new(ours);
        let greeted = connection.send(&ToHost::Welcome { version: VERSION, is_restricted }, Vec::new());
        greeted.map_err(|Broken| Error::new(Cause::Unexpected, "a new channel takes no message"))?;
        self.next += 1;
        let (devices, questions) = (BTreeMap::new(), BTreeMap::new());
        self.hosts.insert(self.next, Host { connection, is_restricted, devices, asked: 0, questions });
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

    /// Takes what a host has said, or that it is gone.
    fn hear(&mut self, id: u64) {
        if self.listen(id).is_err() {
            self.lose(id);
        }
    }

    fn listen(&mut self, id: u64) -> Result<(), Broken> {
        let Some(host) = self.hosts.get_mut(&id) else { return Ok(()) };
        let flushed = host.connection.flush();
        let (messages, mut outcome) = host.connection.receive_little(LARGEST);
        let (mut connected, mut broken) = (Vec::new(), Vec::new());
        for message in messages {
            match host.take(message) {
                Ok(Heard::Nothing) => {}
                Ok(Heard::Connected(instance, socket)) => connected.push((instance, socket)),
                Ok(Heard::Broken(instance, class, detail)) => broken.push((instance, class, detail)),
                Err(Broken) => {
                    outcome = Err(Broken);
                    break;
                }
            }
        }
        self.sockets.extend(connected);
        // Before it is given up for what came behind.
        for (instance, class, detail) in broken {
            self.note(instance, class, &detail);
        }
        flushed.and(outcome)
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
        self.forget(instance);
        if let Some(socket) = self.sockets.get(&instance) {
            // QEMU sees the end, and not the error that a close would be. It is held until the machine has the device no more.
            let _ = rustix::net::shutdown(socket, Shutdown::Both);
        }
        if !self.ends && self.failures.len() < MOST_FAILURES {
            let failure = DeviceFailure { phase: VirtualDeviceFailureDetail::None, class, instance };
            self.failures.push(Failed { failure, is_past: false });
        }
        self.untold.insert(instance, Instant::now());
    }

    /// What has failed of this device counts no more, but for what was before it came anew.
    fn forget(&mut self, instance: Guid) {
        self.failures.retain(|failed| failed.is_past || failed.failure.instance != instance);
        self.untold.remove(&instance);
    }

    /// A host is gone, and its devices with it.
    fn lose(&mut self, id: u64) {
        let Some(host) = self.hosts.remove(&id) else { return };
        for (instance, class) in host.devices {
            self.note(instance, class, "its application has hung up, or cannot be understood");
        }
    }

    /// Asks hosts, all at once, and waits so long for the answers. One that is late with another is not waited for.
    fn ask(&mut self, asks: Vec<(u64, Ask, Vec<OwnedFd>)>, patience: Duration) -> Vec<Result<Said, Silence>> {
        self.ask_and_wait(asks, patience, false)
    }

    /// The same; one that is late is waited for as well if it `may_be_late`.
    fn ask_and_wait(
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
            let is_awaited = |(id, number): &&(u64, u64)| {
                let host = self.hosts.get(id);
                host.is_some_and(|host| matches!(host.questions.get(number), Some(Question::Awaited(_))))
            };
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
        match host.questions.remove(&number) {
            Some(Question::Answered(said)) => Ok(said),
            _ => {
                host.questions.insert(number, Question::Late);
                Err(Silence::Late)
            }
        }
    }

    /// Asks hosts that are given some time, and not asked what came of it.
    fn tell(&mut self, asks: Vec<(u64, Ask)>) {
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
        self.ask(waited, TO_STOP);
    }

    /// Asks a host something for which nobody waits.
    fn leave(&mut self, id: u64, ask: Ask) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        match host.say(ask, Vec::new()) {
            Ok(number) => _ = host.questions.insert(number, Question::Late),
            Err(Broken) => self.lose(id),
        }
    }

    /// Waits until something is to be done at one of these hosts; at which, none if it takes longer.
    fn ready(&self, ids: &[u64], deadline: Instant) -> Vec<u64> {
        let hosts: Vec<(u64, &Host)> =
            self.hosts.iter().map(|(id, host)| (*id, host)).filter(|(id, _)| ids.contains(id)).collect();
        let mut polled: Vec<PollFd<'_>> =
            hosts.iter().map(|(_, host)| PollFd::new(&host.connection.socket, host.wanted())).collect();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            match rustix::event::poll(&mut polled, Some(&left)) {
                Err(Errno::INTR) => {}
                Ok(_) => break,
                // What has failed is found when it is read.
                Err(_) => return ids.to_vec(),
            }
        }
        let ready = hosts.iter().zip(&polled).filter(|(_, polled)| !polled.revents().is_empty());
        ready.map(|((id, _), _)| *id).collect()
    }

    /// The host that has this device: all that might are asked at once. One that is late hinders nobody else.
    fn find(&mut self, device: &HostedDevice) -> Result<u64, Error> {
        use VirtualDeviceFailureDetail::{FinishReservingResources, Initialize};
        let HostedDevice { instance, class, is_restricted, .. } = device;
        let kind = if *is_restricted { "restricted device hosts" } else { "device hosts" };
        let candidates = self.of_kind(*is_restricted);
        let has = Ask::Has { instance: *instance, class: *class };
        let asks = candidates.iter().map(|id| (*id, has.clone(), Vec::new())).collect();
        let answers = self.ask(asks, TO_FIND);
        let is_late = answers.iter().any(|answer| matches!(answer, Err(Silence::Late)));
        let answers = candidates.into_iter().zip(answers);
        let claimants: Vec<u64> =
            answers.filter(|(_, answer)| matches!(answer, Ok(Said::Done))).map(|(id, _)| id).collect();
        match claimants[..] {
            [host] => Ok(host),
            [] if is_late => Err(silent(device).of_device(device.failure(Initialize))),
            [] => {
                let among = self.of_kind(*is_restricted).len();
                let detail = format!(
                    "no application has the device {instance} of class {class}, which the machine needs to finish reserving resources; it has {among} {kind}"
                );
                Err(Error::new(Cause::Unexpected, detail)
                    .hint("Create the device instance (HdvCreateDeviceInstance) before the machine starts or the device is added.")
                    .of_device(device.failure(FinishReservingResources)))
            }
            _ => {
                let detail =
                    format!("{} {kind} have the device {instance} of class {class}", claimants.len());
                Err(Error::new(Cause::Unexpected, detail)
                    .hint("Give each device instance a GUID of its own.")
                    .of_device(device.failure(FinishReservingResources)))
            }
        }
    }
}

/// The words of an application, as they may be shown and logged.
fn tame(words: &str) -> String {
    words.chars().filter(|character| !character.is_control()).take(LONGEST_WORDS).collect()
}

/// What an application has failed with: what it is no authority on is dropped.
fn tamed(failure: &Failure) -> Error {
    Error::new(Cause::from_name(&failure.cause).unwrap_or(Cause::Unexpected), tame(&failure.detail))
}

fn silent(HostedDevice { instance, class, .. }: &HostedDevice) -> Error {
    let detail = format!("the application that has the device {instance} of class {class} does not answer");
    Error::new(Cause::DeadlineExceeded, detail)
}

impl Host {
    fn wanted(&self) -> PollFlags {
        if self.connection.has_unsent() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
    }

    /// It has not answered what nobody waits for any more.
    fn is_behind(&self) -> bool {
        self.questions.values().any(|question| matches!(question, Question::Late))
    }

    /// Says what is asked, under the number that the answer will have.
    fn say(&mut self, body: Ask, fds: Vec<OwnedFd>) -> Result<u64, Broken> {
        if self.questions.len() >= MOST_QUESTIONS {
            return Err(Broken);
        }
        self.asked += 1;
        let number = self.asked;
        let serves = match body {
            Ask::Serve { instance, class, .. } => Some((instance, class)),
            _ => None,
        };
        self.questions.insert(number, Question::Awaited(serves));
        self.connection.send(&ToHost::Ask(Numbered { number, body }), fds)?;
        Ok(number)
    }

    /// Takes a message. Answers that nobody has asked for are none, and so are descriptors.
    fn take(&mut self, message: Message) -> Result<Heard, Broken> {
        let said = serde_json::from_slice(&message.text).map_err(|_| Broken)?;
        if !matches!(said, FromHost::Connected { .. }) && !message.fds.is_empty() {
            return Err(Broken);
        }
        match said {
            FromHost::Reply(Numbered { number, body }) => match self.questions.remove(&number) {
                // One that comes late is heard, and that is all.
                Some(Question::Late) => Ok(Heard::Nothing),
                Some(Question::Awaited(serves)) => {
                    if let (Said::Done, Some((instance, class))) = (&body, serves) {
                        self.devices.insert(instance, class);
                    }
                    self.questions.insert(number, Question::Answered(body));
                    Ok(Heard::Nothing)
                }
                Some(Question::Answered(_)) | None => Err(Broken),
            },
            FromHost::Connected { instance } => {
                let [socket] = <[OwnedFd; 1]>::try_from(message.fds).map_err(|_| Broken)?;
                // Nothing else closes without anybody being waited for.
                let is_unix = rustix::net::sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX);
                match (is_unix, self.devices.contains_key(&instance)) {
                    (true, true) => Ok(Heard::Connected(instance, socket)),
                    (true, false) => Ok(Heard::Nothing),
                    (false, _) => Err(Broken),
                }
            }
            FromHost::Broken { instance, detail } => {
                for question in self.questions.values_mut() {
                    // It breaks before it is there.
                    if matches!(question, Question::Awaited(Some((other, _))) if *other == instance) {
                        *question = Question::Awaited(None);
                    }
                }
                let class = self.devices.remove(&instance);
                Ok(class.map_or(Heard::Nothing, |class| Heard::Broken(instance, class, tame(&detail))))
            }
        }
    }
}

impl DeviceHosts for Shared {
    fn serve(&mut self, device: &HostedDevice, listener: OwnedFd) -> Result<(), Error> {
        use VirtualDeviceFailureDetail::{FinishReservingResources, Initialize};
        let hosts = &mut *self.0.borrow_mut();
        let (instance, class, configuration) = (device.instance, device.class, device.configuration.clone());
        let deadline = Instant::now() + TO_SERVE;
        let host = hosts.find(device)?;
        hosts.sockets.remove(&instance);
        // What has failed of it before remains what has failed in this machine.
        hosts.untold.remove(&instance);
        let before = hosts.failures.iter_mut().filter(|failed| failed.failure.instance == instance);
        before.for_each(|failed| failed.is_past = true);
        let ask = Ask::Serve { instance, class, configuration };
        let asked = vec![(host, ask, vec![listener])];
        match hosts.ask(asked, deadline.saturating_duration_since(Instant::now())).pop() {
            Some(Ok(Said::Done)) if hosts.host_of(instance) == Some(host) => Ok(()),
            Some(Ok(Said::Failed(failure))) => {
                let error = tamed(&failure);
                let detail = format!("the device {instance} of class {class}: {}", error.detail);
                Err(Error { detail, ..error }.of_device(device.failure(Initialize)))
            }
            Some(Err(Silence::Late)) => {
                hosts.leave(host, Ask::Remove { instance });
                Err(silent(device).of_device(device.failure(Initialize)))
            }
            Some(Ok(Said::Done | Said::NotHere) | Err(Silence::Gone)) | None => {
                let detail =
                    format!("the application of the device {instance} of class {class} has given it up");
                Err(Error::new(Cause::Unexpected, detail).of_device(device.failure(FinishReservingResources)))
            }
        }
    }

    fn has(&mut self, instance: Guid) -> bool {
        self.0.borrow().host_of(instance).is_some()
    }

    fn start(&mut self, instances: &[Guid]) -> Vec<Result<(), NotStarted>> {
        let mut hosts = self.0.borrow_mut();
        let hosted: Vec<Option<u64>> = instances.iter().map(|instance| hosts.host_of(*instance)).collect();
        let asks = instances
            .iter()
            .zip(&hosted)
            .filter_map(|(instance, host)| Some(((*host)?, Ask::Start { instance: *instance }, Vec::new())));
        // It may be slow to stop, and is not to lose its device for that.
        let mut answers = hosts.ask_and_wait(asks.collect(), TO_START, true).into_iter();
        let each = instances.iter().zip(hosted).map(|(instance, host)| {
            match host.and_then(|_| answers.next()).unwrap_or(Err(Silence::Gone)) {
                Ok(Said::Done) => Ok(()),
                Ok(Said::NotHere) | Err(Silence::Gone) => {
                    let detail = format!("the application of the device {instance} is gone");
                    Err(NotStarted { error: Error::new(Cause::Unexpected, detail), is_silent: true })
                }
                Ok(Said::Failed(failure)) => {
                    let error = tamed(&failure);
                    let detail = format!("starting the device {instance}: {}", error.detail);
                    Err(NotStarted { error: Error { detail, ..error }, is_silent: false })
                }
                Err(Silence::Late) => {
                    let detail = format!("the application of the device {instance} does not start it");
                    Err(NotStarted { error: Error::new(Cause::DeadlineExceeded, detail), is_silent: true })
                }
            }
        });
        each.collect()
    }

    fn stop(&mut self, instances: &[Guid]) {
        let mut hosts = self.0.borrow_mut();
        let asks = instances
            .iter()
            .filter_map(|instance| Some((hosts.host_of(*instance)?, Ask::Stop { instance: *instance })));
        let asks = asks.collect();
        hosts.tell(asks);
    }

    fn fail(&mut self, instance: Guid, why: &str) {
        let mut hosts = self.0.borrow_mut();
        let Some(id) = hosts.host_of(instance) else { return };
        if let Some(class) = hosts.hosts.get_mut(&id).and_then(|host| host.devices.remove(&instance)) {
            hosts.note(instance, class, why);
        }
        hosts.leave(id, Ask::Remove { instance });
    }

    fn remove(&mut self, instance: Guid) {
        let mut hosts = self.0.borrow_mut();
        if let Some(host) = hosts.host_of(instance) {
            if let Some(host) = hosts.hosts.get_mut(&host) {
                host.devices.remove(&instance);
            }
            hosts.tell(vec![(host, Ask::Remove { instance })]);
        }
        // It is none of the machine's any more.
        hosts.forget(instance);
        hosts.sockets.remove(&instance);
    }
}

#[cfg(test)]
#[path = "device_hosts_tests.rs"]
mod tests;

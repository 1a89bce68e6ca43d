//! A host of devices: what a program makes for one machine, and the channel on which the worker of that asks for them.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hcs::link::quiet;
use hcs_core::{Cause, Error, ready};
use hcs_ipc::{
    Decoder, Message,
    device_host::{Ask, FromHost, Said, ToHost, VERSION},
    socket::{self, Outbox},
    worker::Numbered,
};
use hcs_schema::Guid;
use hcs_vfio::own::Width;
use rustix::{event::PollFlags, net::Shutdown};

use crate::{
    Device, PciDevice,
    handle::Core,
    instance::{Instance, Listener, Monitor, STACK, is_within_a_call},
    lock,
};

/// How long the worker may take to greet.
const PATIENCE: Duration = Duration::from_secs(10);

/// The QEMU of the worker, of any version.
const QEMU: Monitor = Monitor { width: None, is_trusted: false };

/// A host of devices for one machine. Clones are the same host; it ends with the last of them, or with [`DeviceHost::teardown`].
#[derive(Clone)]
pub struct DeviceHost(Arc<Owner>);

/// Ends the host with the last handle to it; the thread of the channel does not count.
struct Owner(Arc<Host>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.teardown();
    }
}

struct Host {
    instances: Mutex<BTreeMap<Guid, Arc<Instance>>>,
    channel: Option<Channel>,
    thread: Mutex<Option<JoinHandle<()>>>,
    is_restricted: bool,
    is_over: AtomicBool,
    /// Held by whoever ends it, so that another waits for that too.
    ending: Mutex<()>,
    /// Whose it is.
    process: u32,
}

impl DeviceHost {
    /// The host of a machine, within this process.
    pub fn new(system: &hcs::System) -> Result<DeviceHost, Error> {
        let channel =
            system.host_devices(false).wait().map_err(|error| Error::new(error.cause, error.message))?;
        DeviceHost::from_channel(channel)
    }

    /// The host at the other end of a channel to the worker of a machine.
    pub fn from_channel(channel: OwnedFd) -> Result<DeviceHost, Error> {
        let channel = Channel::new(channel);
        let mut incoming = Incoming::default();
        let deadline = Instant::now() + PATIENCE;
        let greeting = loop {
            if let Some(message) = incoming.next(&channel.socket, Some(deadline)).map_err(lost)? {
                break message;
            }
        };
        let is_restricted = match serde_json::from_slice(&greeting.text) {
            Ok(ToHost::Welcome { version: VERSION, is_restricted }) => is_restricted,
            _ => {
                return Err(Error::new(
                    Cause::Unexpected,
                    "the service speaks another language about devices",
                ));
            }
        };
        let host = DeviceHost::of(Some(channel), is_restricted);
        let listening = Arc::downgrade(&host.0.0);
        let spawned = quiet::spawn_with_stack("hdv-host", STACK, move || listen(&listening, incoming));
        let thread =
            spawned.map_err(|error| Error::from_io(&error, "starting the thread of a device host"))?;
        *lock(&host.0.0.thread) = Some(thread);
        Ok(host)
    }

    /// A host without a machine of the service: [`DeviceHost::serve`] serves its devices to whoever speaks vfio-user.
    pub fn standalone() -> DeviceHost {
        DeviceHost::of(None, false)
    }

    fn of(channel: Option<Channel>, is_restricted: bool) -> DeviceHost {
        DeviceHost(Arc::new(Owner(Arc::new(Host {
            instances: Mutex::default(),
            channel,
            thread: Mutex::default(),
            is_restricted,
            is_over: AtomicBool::new(false),
            ending: Mutex::default(),
            process: std::process::id(),
        }))))
    }

    /// Whether it has fewer rights: its devices have no doorbells and no sections.
    pub fn is_restricted(&self) -> bool {
        self.0.0.is_restricted
    }

    /// Makes a device. The machine gets it when its document, or what is added to it, names this class and instance.
    pub fn create<D: PciDevice>(
        &self,
        class: Guid,
        instance: Guid,
        make: impl FnOnce(Device) -> D,
    ) -> Result<Device, Error> {
        let host = &self.0.0;
        let core = Arc::new(Core::new(host.is_restricted));
        let device = Device(core.clone());
        let made = Arc::new(Instance::new(class, instance, Arc::new(make(device.clone())), core));
        let mut instances = lock(&host.instances);
        if host.is_over.load(Ordering::Acquire) {
            return Err(Error::new(Cause::InvalidArgument, "the device host has ended"));
        }
        if instances.contains_key(&instance) {
            return Err(Error::new(Cause::AlreadyExists, format!("there is a device {instance} already")));
        }
        instances.insert(instance, made);
        Ok(device)
    }

    /// Serves a device to the first who connects to this listening socket, and is trusted with its own memory.
    pub fn serve(&self, instance: Guid, configuration: &[String], listener: OwnedFd) -> Result<(), Error> {
        let monitor = Monitor { width: Some(Width::Eight), is_trusted: true };
        let found = self.0.0.find(instance)?;
        found.begin(configuration, listener, monitor, Box::new(Nobody))
    }

    /// Tells a device that is served that the processors of its machine run.
    pub fn start(&self, instance: Guid) -> Result<(), Error> {
        match self.0.0.find(instance)?.start()? {
            true => Ok(()),
            false => Err(Error::new(Cause::InvalidState, format!("the device {instance} is in no machine"))),
        }
    }

    /// Tells it that they stand still.
    pub fn stop(&self, instance: Guid) {
        if let Ok(found) = self.0.0.find(instance) {
            found.stop();
        }
    }

    /// Ends it: every device is stopped and torn down, and their handles are dead. When a function of a device calls this, that
    /// is done once the function has returned.
    pub fn teardown(&self) {
        self.0.0.teardown();
    }
}

impl Host {
    fn find(&self, instance: Guid) -> Result<Arc<Instance>, Error> {
        let found = lock(&self.instances).get(&instance).cloned();
        found.ok_or_else(|| Error::new(Cause::NotFound, format!("there is no device {instance}")))
    }

    fn all(&self) -> Vec<Arc<Instance>> {
        lock(&self.instances).values().cloned().collect()
    }

    fn teardown(&self) {
        // What a child of the program has inherited is its parent's.
        if self.process != std::process::id() {
            return;
        }
        let is_waited_for = !is_within_a_call();
        let _one_after_the_other = is_waited_for.then(|| lock(&self.ending));
        let instances = {
            let mut instances = lock(&self.instances);
            self.is_over.store(true, Ordering::Release);
            std::mem::take(&mut *instances)
        };
        // All at once: a function of one may wait for another.
        instances.values().for_each(|instance| instance.retire());
        self.hang_up();
        // A function of a device that calls this is not waited for: their threads do the rest when it has returned.
        if is_waited_for {
            let thread = lock(&self.thread).take();
            if let Some(thread) = thread {
                let _ = thread.join();
            }
            instances.values().for_each(|instance| instance.end());
        }
        instances.values().for_each(|instance| instance.die());
    }

    /// The worker hears no more of it.
    fn hang_up(&self) {
        if let Some(channel) = &self.channel {
            let _ = rustix::net::shutdown(&channel.socket, Shutdown::Both);
        }
    }

    /// Does what the worker asks.
    fn answer(self: &Arc<Self>, ask: Ask, fds: Vec<OwnedFd>) -> Said {
        let done = |outcome: Result<(), Error>| match outcome {
            Ok(()) => Said::Done,
            Err(error) => Said::Failed(error.into()),
        };
        match ask {
            Ask::Has { instance, class } => match self.find(instance) {
                Ok(found) if found.class == class => Said::Done,
                _ => Said::NotHere,
            },
            Ask::Serve { instance, class, configuration } => {
                let Some(listener) = fds.into_iter().next() else {
                    return done(Err(Error::new(Cause::Unexpected, "no socket came with the request")));
                };
                match self.find(instance) {
                    Ok(found) if found.class == class => {
                        let told = Box::new(Worker(Arc::downgrade(self)));
                        done(found.begin(&configuration, listener, QEMU, told))
                    }
                    _ => Said::NotHere,
                }
            }
            Ask::Start { instance } => match self.find(instance).map(|found| found.start()) {
                Ok(Ok(true)) => Said::Done,
                Ok(Ok(false)) | Err(_) => Said::NotHere,
                Ok(Err(error)) => Said::Failed(error.into()),
            },
            Ask::Stop { instance } => {
                if let Ok(found) = self.find(instance) {
                    found.stop();
                }
                Said::Done
            }
            Ask::Remove { instance } => {
                if let Ok(found) = self.find(instance) {
                    found.end();
                }
                Said::Done
            }
        }
    }
}

/// The worker is told of devices of its machine.
struct Worker(Weak<Host>);

impl Worker {
    /// A worker that is gone needs not be told.
    fn tell(&self, message: &FromHost, fds: Vec<OwnedFd>) {
        if let Some(channel) = self.0.upgrade().as_ref().and_then(|host| host.channel.as_ref()) {
            let _ = channel.say(message, fds);
        }
    }
}

impl Listener for Worker {
    fn connected(&self, instance: Guid, socket: &OwnedFd) -> io::Result<()> {
        // It keeps the machine alive when this program dies, so a device without it is none.
        self.tell(&FromHost::Connected { instance }, vec![socket.try_clone()?]);
        Ok(())
    }

    fn broken(&self, instance: Guid, detail: String) {
        self.tell(&FromHost::Broken { instance, detail }, Vec::new());
    }
}

/// Who serves a device by itself sees what becomes of it.
struct Nobody;

impl Listener for Nobody {
    fn connected(&self, _: Guid, _: &OwnedFd) -> io::Result<()> {
        Ok(())
    }
    fn broken(&self, _: Guid, _: String) {}
}

/// Hears the worker until it hangs up.
fn listen(host: &Weak<Host>, mut incoming: Incoming) {
    loop {
        // Held while a message is waited for: whoever ends the host hangs up, and then waits for this.
        let Some(host) = host.upgrade() else { return };
        let Some(channel) = &host.channel else { return };
        match incoming.next(&channel.socket, None) {
            Ok(Some(message)) => {
                let Ok(ToHost::Ask(Numbered { number, body })) = serde_json::from_slice(&message.text) else {
                    break;
                };
                let body = host.answer(body, message.fds);
                if channel.say(&FromHost::Reply(Numbered { number, body }), Vec::new()).is_err() {
                    break;
                }
            }
            Ok(None) => {}
            Err(_) => break,
        }
    }
    // Without its worker a machine is no more; and one that is not understood is to know that nobody listens.
    if let Some(host) = host.upgrade() {
        host.hang_up();
        host.all().iter().for_each(|instance| instance.end());
    }
}

/// The way to the worker.
struct Channel {
    socket: OwnedFd,
    outbox: Mutex<Outbox>,
}

impl Channel {
    fn new(socket: OwnedFd) -> Channel {
        Channel { socket, outbox: Mutex::default() }
    }

    fn say(&self, message: &FromHost, fds: Vec<OwnedFd>) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        let mut outbox = lock(&self.outbox);
        outbox.push(text, fds);
        while !outbox.flush(&self.socket)? {
            wait(&self.socket, PollFlags::OUT, None)?;
        }
        Ok(())
    }
}

/// What has come from the worker.
#[derive(Default)]
struct Incoming {
    decoder: Decoder,
}

impl Incoming {
    /// The next message; none yet.
    fn next(&mut self, socket: &OwnedFd, deadline: Option<Instant>) -> io::Result<Option<Message>> {
        if let Some(message) = self.decoder.next_message() {
            return Ok(Some(message));
        }
        wait(socket, PollFlags::IN, deadline)?;
        let mut buffer = [0; 16 << 10];
        match socket::receive(socket, &mut buffer) {
            Ok(received) if received.length == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(received) => {
                let fed = self.decoder.feed(&buffer[..received.length], received.fds);
                fed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                Ok(self.decoder.next_message())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn wait(socket: &OwnedFd, what: PollFlags, deadline: Option<Instant>) -> io::Result<()> {
    match ready::until(socket, what, deadline)?.is_empty() {
        false => Ok(()),
        true => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn lost(error: io::Error) -> Error {
    Error::from_io(&error, "hearing from the worker of the machine")
}

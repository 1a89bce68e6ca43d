//! The life of one device: in a machine from `initialize` to `teardown`, and out of it before and afterwards.

use std::{
    cell::Cell,
    io,
    os::fd::{AsFd, OwnedFd},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, ThreadId},
    time::{Duration, Instant},
};

use hcs::link::quiet;
use hcs_core::{Cause, Error, ready};
use hcs_schema::Guid;
use hcs_vfio::own::Width;
use rustix::{event::PollFlags, io::Errno, net::SocketFlags};

use crate::{
    PciDevice,
    handle::Core,
    link::{Link, Over},
    lock,
    server::Server,
    shape::Bars,
};

/// How much room functions of a device have.
pub(crate) const STACK: usize = 2 << 20;

/// How long descriptors that are lacking are waited for before a machine is hung up on, and the pauses between attempts.
const SHORTAGE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(10);

/// A device.
pub(crate) struct Instance {
    pub class: Guid,
    pub id: Guid,
    device: Arc<dyn PciDevice>,
    pub core: Arc<Core>,
    /// It is in a machine, and whether that runs.
    life: Mutex<Option<IsStarted>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Whose turn it is: the calls of its life come one after the other. Nobody holds a lock meanwhile.
    turn: Mutex<Option<ThreadId>>,
    turned: Condvar,
    /// No machine is to get it any more.
    is_retired: AtomicBool,
}

type IsStarted = bool;

/// Who connects to a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Monitor {
    /// How it writes lengths, if that is known.
    pub width: Option<Width>,
    /// It is trusted not to make its files shorter.
    pub is_trusted: bool,
}

/// Who is told what becomes of a device that a machine has.
pub(crate) trait Listener: Send {
    /// Its monitor has connected. Who could not be told makes the device one that does not work.
    fn connected(&self, instance: Guid, socket: &OwnedFd) -> io::Result<()>;
    /// It does not work any more.
    fn broken(&self, instance: Guid, why: String);
}

/// A turn. A function that is called in it may take one more.
struct Turn<'a> {
    instance: &'a Instance,
    is_first: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_first {
            *lock(&self.instance.turn) = None;
            self.instance.turned.notify_one();
        }
    }
}

impl Instance {
    pub fn new(class: Guid, id: Guid, device: Arc<dyn PciDevice>, core: Arc<Core>) -> Instance {
        Instance {
            class,
            id,
            device,
            core,
            life: Mutex::default(),
            thread: Mutex::default(),
            turn: Mutex::default(),
            turned: Condvar::new(),
            is_retired: AtomicBool::new(false),
        }
    }

    fn turn(&self) -> Turn<'_> {
        let own = thread::current().id();
        let mut turn = lock(&self.turn);
        while turn.is_some_and(|whose| whose != own) {
            turn = self.turned.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        let is_first = turn.replace(own).is_none();
        Turn { instance: self, is_first }
    }

    /// A machine gets the device: its monitor connects here, once.
    pub fn begin(
        self: &Arc<Self>,
        configuration: &[String],
        listener: OwnedFd,
        monitor: Monitor,
        told: Box<dyn Listener>,
    ) -> Result<(), Error> {
        self.is_free()?;
        // Of a device that was in a machine before the thread may still be there.
        let before = lock(&self.thread).take();
        if let Some(thread) = before {
            let _ = thread.join();
        }
        let _turn = self.turn();
        self.is_free()?;
        *lock(&self.life) = Some(false);
        let begun = match survive(|| self.prepare(configuration)) {
            Some(Ok(bars)) => self.spawn(bars, listener, monitor, told),
            Some(Err(error)) => Err(error),
            None => {
                survive(|| self.device.teardown());
                Err(panicked())
            }
        };
        if begun.is_err() {
            *lock(&self.life) = None;
            self.core.rest();
        }
        begun
    }

    fn is_free(&self) -> Result<(), Error> {
        if self.is_retired.load(Ordering::Acquire) {
            return Err(ended());
        }
        match *lock(&self.life) {
            None => Ok(()),
            Some(_) => {
                let detail = format!("the device {} is in a machine already", self.id);
                Err(Error::new(Cause::AlreadyExists, detail))
            }
        }
    }

    fn prepare(&self, configuration: &[String]) -> Result<Bars, Error> {
        let in_phase = |phase: &'static str| {
            move |error: Error| Error { detail: format!("{phase}: {}", error.detail), ..error }
        };
        self.device.initialize().map_err(in_phase("Initialize"))?;
        let told = self.device.set_configuration(configuration).map_err(in_phase("SetConfiguration"));
        let details = told.and_then(|()| self.device.details().map_err(in_phase("GetDetails")));
        let bars = details.and_then(|details| Bars::new(details.probed_bars).map_err(in_phase("GetDetails")));
        match &bars {
            Ok(bars) => *lock(&self.core.lengths) = Some(bars.lengths()),
            Err(_) => self.device.teardown(),
        }
        bars
    }

    fn spawn(
        self: &Arc<Self>,
        bars: Bars,
        listener: OwnedFd,
        monitor: Monitor,
        told: Box<dyn Listener>,
    ) -> Result<(), Error> {
        let listener = Arc::new(listener);
        self.core.listen(listener.clone());
        let instance = self.clone();
        let serve = move || {
            let outcome = instance.accept(listener).and_then(|socket| {
                told.connected(instance.id, &socket)
                    .map_err(|error| Over::Broken(format!("passing the connection on: {error}")))?;
                survive(|| instance.serve(bars, socket, monitor)).unwrap_or_else(|| {
                    instance.core.hang_up();
                    Err(Over::Broken(PANICKED.to_owned()))
                })
            });
            // Before functions of the device, which may take their time.
            if let Err(Over::Broken(why)) = outcome {
                told.broken(instance.id, why);
            }
            instance.over();
        };
        // Whoever retires it hangs up afterwards, or is seen here.
        let spawned = match self.is_retired.load(Ordering::Acquire) {
            true => Err(ended()),
            false => quiet::spawn_with_stack("hdv-device", STACK, serve)
                .map_err(|error| Error::from_io(&error, "starting the thread of a device")),
        };
        match spawned {
            Ok(thread) => {
                *lock(&self.thread) = Some(thread);
                Ok(())
            }
            Err(error) => {
                survive(|| self.device.teardown());
                Err(error)
            }
        }
    }

    fn accept(&self, listener: Arc<OwnedFd>) -> Result<OwnedFd, Over> {
        accept(&listener).map_err(|errno| match self.core.is_hung_up() {
            true => Over::HungUp,
            false => Over::Broken(format!("accepting the machine: {errno}")),
        })
    }

    fn serve(&self, bars: Bars, socket: OwnedFd, monitor: Monitor) -> Result<(), Over> {
        let link = Arc::new(Link::new(socket, monitor.width));
        if !self.core.connect(&link) {
            return Ok(());
        }
        let reset = || self.restart();
        let (device, core, is_trusted) = (self.device.as_ref(), self.core.as_ref(), monitor.is_trusted);
        let outcome = Server { device, core, link: &link, is_trusted, reset: &reset }.run(bars);
        self.core.hang_up();
        outcome
    }

    /// The guest has reset the device.
    fn restart(&self) -> Result<(), String> {
        let _turn = self.turn();
        if *lock(&self.life) != Some(true) {
            return Ok(());
        }
        self.device.stop();
        self.device.start().map_err(|error| {
            self.is_stopped();
            format!("Start: {}", error.detail)
        })
    }

    /// Whether it was started until now.
    fn is_stopped(&self) -> bool {
        lock(&self.life).as_mut().is_some_and(std::mem::take)
    }

    /// The processors of the machine are about to run. False if it is in no machine: its monitor has hung up.
    pub fn start(&self) -> Result<bool, Error> {
        let _turn = self.turn();
        {
            let mut life = lock(&self.life);
            match *life {
                None => return Ok(false),
                Some(true) => return Ok(true),
                Some(false) => *life = Some(true),
            }
        }
        let started = survive(|| self.device.start()).unwrap_or_else(|| Err(panicked()));
        started.map(|()| true).map_err(|error| {
            self.is_stopped();
            Error { detail: format!("Start: {}", error.detail), ..error }
        })
    }

    /// They have stopped.
    pub fn stop(&self) {
        let _turn = self.turn();
        if self.is_stopped() {
            survive(|| self.device.stop());
        }
    }

    /// No machine has it any more: whoever comes first says so to the device.
    fn over(&self) {
        let _turn = self.turn();
        let Some(is_started) = lock(&self.life).take() else { return };
        if is_started {
            survive(|| self.device.stop());
        }
        survive(|| self.device.teardown());
        self.core.rest();
    }

    /// No machine is to get it any more, and the one that has it is hung up on.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
        self.core.hang_up();
    }

    /// Takes it from its machine. When this returns no function of it runs any more; a function of a device that calls this is
    /// not waited for, and the rest is done when it has returned.
    pub fn end(&self) {
        self.core.hang_up();
        if is_within_a_call() {
            return;
        }
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        self.over();
    }

    /// Its host has ended, and its handle is dead.
    pub fn die(&self) {
        self.core.die();
        // What is left of one that is in a machine goes with the last of its functions.
        if lock(&self.life).is_none() {
            self.core.rest();
        }
    }
}

fn ended() -> Error {
    Error::new(Cause::InvalidState, "the device host has ended")
}

const PANICKED: &str = "a function of the device has panicked";

fn panicked() -> Error {
    Error::new(Cause::Unexpected, PANICKED)
}

/// Calls functions of the program; nothing if they have panicked. That is told where panics are told, and ends nobody but the
/// device.
pub(crate) fn survive<T>(call: impl FnOnce() -> T) -> Option<T> {
    CALLS.set(CALLS.get() + 1);
    let called = std::panic::catch_unwind(AssertUnwindSafe(call)).ok();
    CALLS.set(CALLS.get() - 1);
    called
}

thread_local! {
    /// How many such calls this thread is within.
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Whether this is called by a function of a device.
pub fn is_within_a_call() -> bool {
    CALLS.get() > 0
}

/// Lets the machine in. QEMU does not outlive that it is hung up on at this moment, so what others may give back is waited for.
fn accept(listener: &OwnedFd) -> Result<OwnedFd, Errno> {
    let mut gives_up_at = None;
    loop {
        // Whether it waits by itself is for whoever made it.
        ready::until(listener, PollFlags::IN, None)?;
        match rustix::net::accept_with(listener.as_fd(), SocketFlags::CLOEXEC) {
            Err(Errno::INTR | Errno::AGAIN | Errno::CONNABORTED) => {}
            Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
                if *gives_up_at.get_or_insert_with(|| Instant::now() + SHORTAGE) > Instant::now() =>
            {
                thread::sleep(PAUSE);
            }
            accepted => return accepted,
        }
    }
}

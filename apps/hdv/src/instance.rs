//! The life of one device: in a machine from `initialize` to `teardown`, and out of it before and afterwards.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use hcs::link::quiet;
use hcs_core::{Cause, Error};
use hcs_schema::Guid;
use hcs_vfio::own::Width;
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    net::SocketFlags,
};

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

/// A device.
pub(crate) struct Instance {
    pub class: Guid,
    pub id: Guid,
    device: Arc<dyn PciDevice>,
    pub core: Arc<Core>,
    /// It is in a machine, and whether that runs.
    life: Mutex<Option<IsStarted>>,
    thread: Mutex<Option<JoinHandle<()>>>,
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

/// Whoever is told that a device does not work any more.
pub(crate) type OnBroken = Box<dyn FnOnce(Guid, String) + Send>;

impl Instance {
    pub fn new(class: Guid, id: Guid, device: Arc<dyn PciDevice>, core: Arc<Core>) -> Instance {
        Instance { class, id, device, core, life: Mutex::default(), thread: Mutex::default() }
    }

    /// A machine gets the device: its monitor connects here, once.
    pub fn begin(
        self: &Arc<Self>,
        configuration: &[String],
        listener: OwnedFd,
        monitor: Monitor,
        on_broken: OnBroken,
    ) -> Result<(), Error> {
        if lock(&self.life).is_some() {
            return Err(Error::new(
                Cause::AlreadyExists,
                format!("the device {} is in a machine already", self.id),
            ));
        }
        // Of a device that was in a machine before the thread may still be there.
        let before = lock(&self.thread).take();
        if let Some(thread) = before {
            let _ = thread.join();
        }
        *lock(&self.life) = Some(false);
        let begun =
            self.prepare(configuration).and_then(|bars| self.spawn(bars, listener, monitor, on_broken));
        if begun.is_err() {
            *lock(&self.life) = None;
            self.core.rest();
        }
        begun
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
        on_broken: OnBroken,
    ) -> Result<(), Error> {
        let listener = Arc::new(listener);
        self.core.listen(listener.clone());
        let instance = self.clone();
        let serve = move || {
            let outcome = accept(&listener).map_err(|_| Over::HungUp).and_then(|socket| {
                drop(listener);
                instance.serve(bars, socket, monitor)
            });
            instance.over();
            if let Err(Over::Broken(why)) = outcome {
                on_broken(instance.id, why);
            }
        };
        let spawned = quiet::spawn_with_stack("hdv-device", STACK, serve);
        match spawned {
            Ok(thread) => *lock(&self.thread) = Some(thread),
            Err(error) => {
                self.device.teardown();
                return Err(Error::from_io(&error, "starting the thread of a device"));
            }
        }
        Ok(())
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
        if *lock(&self.life) != Some(true) {
            return Ok(());
        }
        self.device.stop();
        self.device.start().map_err(|error| format!("Start: {}", error.detail))
    }

    /// The processors of the machine are about to run.
    pub fn start(&self) -> Result<(), Error> {
        {
            let mut life = lock(&self.life);
            match *life {
                None => {
                    return Err(Error::new(
                        Cause::InvalidState,
                        format!("the device {} is in no machine", self.id),
                    ));
                }
                Some(true) => return Ok(()),
                Some(false) => *life = Some(true),
            }
        }
        self.device.start().map_err(|error| {
            if let Some(is_started) = lock(&self.life).as_mut() {
                *is_started = false;
            }
            Error { detail: format!("Start: {}", error.detail), ..error }
        })
    }

    /// They have stopped.
    pub fn stop(&self) {
        let was_started = lock(&self.life).as_mut().is_some_and(std::mem::take);
        if was_started {
            self.device.stop();
        }
    }

    /// No machine has it any more: whoever comes first says so to the device.
    fn over(&self) {
        let Some(is_started) = lock(&self.life).take() else { return };
        if is_started {
            self.device.stop();
        }
        self.device.teardown();
        self.core.rest();
    }

    /// Takes it from its machine. When this returns no function of it runs any more, unless it is one of those that calls.
    pub fn end(&self) {
        self.core.hang_up();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
        self.over();
    }
}

fn accept(listener: &OwnedFd) -> Result<OwnedFd, Errno> {
    loop {
        // Whether it waits by itself is for whoever made it.
        match rustix::event::poll(&mut [PollFd::new(listener, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        match rustix::net::accept_with(listener.as_fd(), SocketFlags::CLOEXEC) {
            Err(Errno::INTR | Errno::AGAIN | Errno::CONNABORTED) => {}
            accepted => return accepted,
        }
    }
}

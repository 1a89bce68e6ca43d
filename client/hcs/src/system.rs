//! A compute system.

use std::{os::fd::OwnedFd, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use hcs_core::{Cause, HResult};
use hcs_ipc::compute::{
    CrashComputeSystem, CreateProcess, EventKind, GetComputeSystemProperties, GetOutput, HostDevices,
    ModifyComputeSystem, OpenProcess, OpenSerialPort, PauseComputeSystem, ResumeComputeSystem,
    SaveComputeSystem, ShutDownComputeSystem, StartComputeSystem, TerminateComputeSystem, Warning,
};
use hcs_schema::{
    Any, ConsoleImage, CrashOptions, ModifySettingRequest, PauseOptions, ProcessParameters, Properties,
    SaveOptions, ShutdownOptions, SystemExitStatus, SystemPropertyQuery,
};
use tokio::sync::{mpsc, watch};

use crate::{
    Error, Event, Link, Operation, Output, Pipes, Process,
    blocking::block_on,
    document::{from_any, to_any},
    link::LinkEvent,
};

/// A handle to a compute system. Clones are the same handle; it is closed with the last of them.
#[derive(Clone)]
pub struct System(Arc<Inner>);

struct Inner {
    link: Link,
    handle: u64,
    identity: Identity,
    told: Arc<Told>,
}

/// What the service said about the system when the handle was made.
pub(crate) struct Identity {
    pub id: String,
    pub runtime_id: String,
    pub instance: String,
    pub warnings: Vec<Warning>,
}

/// What the listener keeps. It outlives no handle: the link forgets it when that is closed.
struct Told {
    exit: watch::Sender<Option<Result<SystemExitStatus, Error>>>,
    listeners: std::sync::Mutex<Vec<mpsc::UnboundedSender<Event>>>,
}

impl System {
    pub(crate) fn new(link: Link, handle: u64, identity: Identity) -> System {
        let told = Arc::new(Told { exit: watch::Sender::new(None), listeners: Default::default() });
        let listener = told.clone();
        link.watch_system(
            handle,
            &identity.id,
            &identity.instance,
            Arc::new(move |event| listener.hear(event)),
        );
        System(Arc::new(Inner { link, handle, identity, told }))
    }

    /// Its id, as its creator wrote it.
    pub fn id(&self) -> &str {
        &self.0.identity.id
    }

    /// Its GUID.
    pub fn runtime_id(&self) -> &str {
        &self.0.identity.runtime_id
    }

    /// What tells it from every other system, also from one of its id that comes after it or belongs to another service.
    pub fn instance(&self) -> &str {
        &self.0.identity.instance
    }

    /// The members of its document that have no effect or are not known.
    pub fn warnings(&self) -> &[Warning] {
        &self.0.identity.warnings
    }

    /// The link that its calls are made by.
    pub fn link(&self) -> &Link {
        &self.0.link
    }

    /// The number of the handle in the interface, for calls of one's own.
    pub fn handle(&self) -> u64 {
        self.0.handle
    }

    /// Starts it.
    pub fn start(&self) -> Operation<()> {
        self.ask(|handle, operation| StartComputeSystem { handle, options: None, operation })
    }

    /// Asks it to shut down; [`System::wait`] tells the end.
    pub fn shut_down(&self, options: Option<&ShutdownOptions>) -> Operation<()> {
        let options = options.map(to_any);
        self.ask(|handle, operation| ShutDownComputeSystem { handle, options, operation })
    }

    /// Ends it at once.
    pub fn terminate(&self) -> Operation<()> {
        self.ask(|handle, operation| TerminateComputeSystem { handle, options: None, operation })
    }

    /// Makes its guest crash.
    pub fn crash(&self, options: Option<&CrashOptions>) -> Operation<()> {
        let options = options.map(to_any);
        self.ask(|handle, operation| CrashComputeSystem { handle, options, operation })
    }

    /// Suspends it.
    pub fn pause(&self, options: Option<&PauseOptions>) -> Operation<()> {
        let options = options.map(to_any);
        self.ask(|handle, operation| PauseComputeSystem { handle, options, operation })
    }

    /// Continues it.
    pub fn resume(&self) -> Operation<()> {
        self.ask(|handle, operation| ResumeComputeSystem { handle, options: None, operation })
    }

    /// Saves it.
    pub fn save(&self, options: &SaveOptions) -> Operation<()> {
        let options = Some(to_any(options));
        self.ask(|handle, operation| SaveComputeSystem { handle, options, operation })
    }

    /// Changes it.
    pub fn modify(&self, request: &ModifySettingRequest) -> Operation<()> {
        let request = to_any(request);
        self.ask(|handle, operation| ModifyComputeSystem { handle, request, operation })
    }

    fn ask<M>(&self, call: impl FnOnce(u64, Option<u64>) -> M) -> Operation<()>
    where
        M: hcs_ipc::compute::Method<Reply = hcs_ipc::compute::Done>,
    {
        let number = self.0.link.next_operation();
        Operation::begin(&self.0.link, number, &call(self.0.handle, Some(number)), |_| Ok(()))
    }

    /// Hosts devices for it: gives a channel to its worker, at which [`hcs_ipc::device_host`] is spoken. The host is gone when that
    /// is closed. A restricted one has fewer rights, and there may be several.
    pub fn host_devices(&self, is_restricted: bool) -> Operation<OwnedFd> {
        let call = HostDevices { handle: self.0.handle, restricted: Some(is_restricted) };
        Operation::begin(&self.0.link, 0, &call, |(reply, fds)| placed(fds, reply.channel))
    }

    /// What was said in it and kept: by one process, or by all of them and its consoles. With `follow` what comes is read too,
    /// until the process is done with its output, or the system has ended.
    pub fn output(&self, process_id: Option<u32>, follow: bool) -> Operation<Output> {
        let call = GetOutput { handle: self.0.handle, process_id, follow: Some(follow) };
        Operation::begin(&self.0.link, 0, &call, |(reply, fds)| placed(fds, reply.output).map(Output::new))
    }

    /// A connection to a serial port of a virtual machine: 0 is COM1.
    pub fn open_serial_port(&self, port: u32) -> Operation<OwnedFd> {
        let call = OpenSerialPort { handle: self.0.handle, port };
        Operation::begin(&self.0.link, 0, &call, |(reply, fds)| placed(fds, reply.socket))
    }

    /// Its properties: the basic ones, and those that a query asks for.
    pub fn properties(&self, query: Option<&SystemPropertyQuery>) -> Operation<Properties> {
        let call = GetComputeSystemProperties { handle: self.0.handle, query: query.map(to_any) };
        Operation::begin(&self.0.link, 0, &call, |(reply, _)| from_any(&reply.properties))
    }

    /// A picture of its screen, as the bytes of a PNG file.
    pub fn screenshot(&self) -> Operation<Vec<u8>> {
        const NAME: &str = "ConsoleImage";
        let query = SystemPropertyQuery::default().queries([(NAME.to_owned(), Any::default())]);
        let call = GetComputeSystemProperties { handle: self.0.handle, query: Some(to_any(&query)) };
        Operation::begin(&self.0.link, 0, &call, |(reply, _)| {
            let properties = from_any::<Properties>(&reply.properties)?;
            let response = properties.property_responses.and_then(|mut responses| responses.remove(NAME));
            let response = response.unwrap_or_default();
            if let Some(document) = response.error {
                let event =
                    document.error_events.iter().flatten().next().and_then(|event| event.message.clone());
                let message = event.or(document.error_message.clone()).unwrap_or_default();
                let code = HResult(document.error.unwrap_or_default());
                let cause = Cause::from_hresult(code).unwrap_or(Cause::Unexpected);
                return Err(Error { cause, message, document });
            }
            let image = from_any::<ConsoleImage>(&response.response.unwrap_or_default())?;
            let decoded = STANDARD.decode(image.image.unwrap_or_default());
            decoded.map_err(|error| {
                hcs_core::Error::new(Cause::Unexpected, format!("the picture: {error}")).into()
            })
        })
    }

    /// Starts a process in it.
    pub fn run(&self, parameters: &ProcessParameters) -> Operation<Process> {
        self.run_from(to_any(parameters))
    }

    /// Starts a process from the text of its document.
    pub fn run_from(&self, parameters: Any) -> Operation<Process> {
        let number = self.0.link.next_operation();
        let call = CreateProcess { handle: self.0.handle, parameters, operation: Some(number) };
        let system = self.clone();
        Operation::begin(&self.0.link, number, &call, move |(created, fds)| {
            let places = [created.std_input, created.std_output, created.std_error];
            let pipes = Pipes::sort(fds, places)?;
            let (link, handle) = (system.0.link.clone(), system.0.handle);
            Ok(Process::new(link, created.process, handle, created.process_id, pipes))
        })
    }

    /// Opens a process by its id in the system.
    pub fn open_process(&self, process_id: u32) -> Operation<Process> {
        let system = self.clone();
        let call = OpenProcess { handle: self.0.handle, process_id };
        Operation::begin(&self.0.link, 0, &call, move |(opened, _)| {
            let (link, handle) = (system.0.link.clone(), system.0.handle);
            Ok(Process::new(link, opened.process, handle, process_id, Pipes::default()))
        })
    }

    /// Waits for its end.
    pub async fn wait(&self) -> Result<SystemExitStatus, Error> {
        let mut exit = self.0.told.exit.subscribe();
        // The sender lives as long as this handle.
        match exit.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone()) {
            Some(outcome) => outcome,
            None => Err(Cause::ServiceDisconnect.into()),
        }
    }

    /// Waits without a runtime. Not to be called where one is running.
    pub fn wait_blocking(&self) -> Result<SystemExitStatus, Error> {
        self.0.link.attend();
        block_on(self.wait())
    }

    /// Its events from now on. One that has ended says so at once.
    pub fn events(&self) -> mpsc::UnboundedReceiver<Event> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut listeners = self.0.told.lock();
        if let Some(outcome) = &*self.0.told.exit.borrow() {
            // The receiver is in our hands.
            let _ = sender.send(Event::of_exit(outcome));
        }
        listeners.push(sender);
        receiver
    }
}

/// The descriptor of a reply that is at this place.
fn placed(fds: Vec<OwnedFd>, place: u32) -> Result<OwnedFd, Error> {
    let missing = || hcs_core::Error::new(Cause::Unexpected, "a descriptor is missing in the reply");
    fds.into_iter().nth(place as usize).ok_or_else(|| missing().into())
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.link.close_system(self.handle);
    }
}

impl Told {
    fn hear(&self, event: LinkEvent) {
        let mut listeners = self.lock();
        if self.exit.borrow().is_some() {
            return;
        }
        let event = match event {
            LinkEvent::Happened(EventKind::SystemExited, data) => {
                let status = from_any::<SystemExitStatus>(&data.unwrap_or_default());
                self.exit.send_replace(Some(status.clone()));
                Event::of_exit(&status)
            }
            LinkEvent::Happened(kind, data) => match Event::of(kind, data) {
                Some(event) => event,
                None => return,
            },
            LinkEvent::Disconnected => {
                self.exit.send_replace(Some(Err(Cause::ServiceDisconnect.into())));
                Event::Disconnected
            }
        };
        listeners.retain(|listener| listener.send(event.clone()).is_ok());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<mpsc::UnboundedSender<Event>>> {
        self.listeners.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

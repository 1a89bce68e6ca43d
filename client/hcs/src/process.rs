//! A process in a compute system.

use std::{os::fd::OwnedFd, sync::Arc};

use hcs_core::Cause;
use hcs_ipc::compute::{
    EventKind, GetProcessInfo, GetProcessProperties, ModifyProcess, SignalProcess, TerminateProcess,
};
use hcs_schema::{
    CloseHandle, ConsoleSize, ModifyOperation, ProcessModifyRequest, ProcessStatus, SignalProcessOptions,
    StdHandle,
};
use tokio::sync::watch;

use crate::{
    Error, Link, Operation,
    blocking::block_on,
    document::{from_any, to_any},
    link::LinkEvent,
};

/// Our ends of a process's standard streams, as far as they were asked for. Each is closed by being dropped.
#[derive(Debug, Default)]
pub struct Pipes {
    /// Written by us.
    pub stdin: Option<OwnedFd>,
    /// Read by us.
    pub stdout: Option<OwnedFd>,
    /// Read by us.
    pub stderr: Option<OwnedFd>,
}

impl Pipes {
    /// Finds the streams among the descriptors of a reply.
    pub fn sort(fds: Vec<OwnedFd>, places: [Option<u32>; 3]) -> Result<Pipes, Error> {
        let mut fds: Vec<Option<OwnedFd>> = fds.into_iter().map(Some).collect();
        let mut take = |place: Option<u32>| match place {
            None => Ok(None),
            Some(place) => fds.get_mut(place as usize).and_then(Option::take).map(Some).ok_or_else(|| {
                Error::from(hcs_core::Error::new(Cause::Unexpected, "a pipe is missing in the reply"))
            }),
        };
        Ok(Pipes { stdin: take(places[0])?, stdout: take(places[1])?, stderr: take(places[2])? })
    }
}

/// A handle to a process. It is closed by being dropped; the process goes on.
pub struct Process {
    link: Link,
    handle: u64,
    process_id: u32,
    exit: Arc<watch::Sender<Option<Result<ProcessStatus, Error>>>>,
    /// The streams, for the taking.
    pub pipes: Pipes,
}

impl Process {
    pub(crate) fn new(link: Link, handle: u64, system: u64, process_id: u32, pipes: Pipes) -> Process {
        let exit = Arc::new(watch::Sender::new(None));
        let told = exit.clone();
        let listener = move |event| {
            let outcome = match event {
                LinkEvent::Happened(EventKind::ProcessExited, data) => {
                    from_any::<ProcessStatus>(&data.unwrap_or_default())
                }
                LinkEvent::Happened(..) => return,
                LinkEvent::Disconnected => Err(Cause::ServiceDisconnect.into()),
            };
            told.send_if_modified(|exit| {
                let first = exit.is_none();
                exit.get_or_insert(outcome);
                first
            });
        };
        link.watch_process(handle, system, process_id, Arc::new(listener));
        Process { link, handle, process_id, exit, pipes }
    }

    /// Its id in the system.
    pub fn id(&self) -> u32 {
        self.process_id
    }

    /// The number of the handle in the interface, for calls of one's own.
    pub fn handle(&self) -> u64 {
        self.handle
    }

    /// Waits for its end; the status has the exit code, 128 and the signal's number for a process that died of
    /// one.
    pub async fn wait(&self) -> Result<ProcessStatus, Error> {
        let mut exit = self.exit.subscribe();
        match exit.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone()) {
            Some(outcome) => outcome,
            None => Err(Cause::ServiceDisconnect.into()),
        }
    }

    /// Waits without a runtime. Not to be called where one is running.
    pub fn wait_blocking(&self) -> Result<ProcessStatus, Error> {
        self.link.attend();
        block_on(self.wait())
    }

    /// Its status, also after its end, while its system lives.
    pub fn status(&self) -> Operation<ProcessStatus> {
        let call = GetProcessProperties { process: self.handle };
        Operation::begin(&self.link, 0, &call, |(reply, _)| from_any(&reply.status))
    }

    /// Our ends of its streams once more.
    pub fn pipes_again(&self) -> Operation<Pipes> {
        Operation::begin(&self.link, 0, &GetProcessInfo { process: self.handle }, |(info, fds)| {
            Pipes::sort(fds, [info.std_input, info.std_output, info.std_error])
        })
    }

    /// Kills it.
    pub fn kill(&self) -> Operation<()> {
        let call = TerminateProcess { process: self.handle, options: None };
        Operation::begin(&self.link, 0, &call, |_| Ok(()))
    }

    /// Sends it a signal; without options it is asked to end.
    pub fn signal(&self, options: Option<&SignalProcessOptions>) -> Operation<()> {
        let call = SignalProcess { process: self.handle, options: options.map(to_any) };
        Operation::begin(&self.link, 0, &call, |_| Ok(()))
    }

    /// Changes the size of its console.
    pub fn resize(&self, rows: u16, columns: u16) -> Operation<()> {
        self.modify(&ProcessModifyRequest {
            operation: Some(ModifyOperation::ConsoleSize),
            console_size: Some(ConsoleSize { height: Some(rows), width: Some(columns) }),
            ..Default::default()
        })
    }

    /// Gives it the end of its input, even while others hold the pipe.
    pub fn close_stdin(&self) -> Operation<()> {
        self.modify(&ProcessModifyRequest {
            operation: Some(ModifyOperation::CloseHandle),
            close_handle: Some(CloseHandle { handle: Some(StdHandle::StdIn) }),
            ..Default::default()
        })
    }

    fn modify(&self, request: &ProcessModifyRequest) -> Operation<()> {
        let call = ModifyProcess { process: self.handle, request: to_any(request) };
        Operation::begin(&self.link, 0, &call, |_| Ok(()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.link.close_process(self.handle);
    }
}

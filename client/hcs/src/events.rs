//! Events: of one handle, and of all systems of the service.

use std::{io, net::Shutdown, os::unix::net::UnixStream, path::Path};

use hcs_core::Cause;
pub use hcs_ipc::compute::SystemEvent;
use hcs_ipc::{
    Decoder,
    compute::{EventKind, Method, WatchEvents, WatchEventsReply},
    socket, varlink,
};
use hcs_schema::{Any, CrashReport, SystemExitStatus};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::mpsc;

use crate::{Error, document::from_any, link::quiet};

/// An event of a system's handle.
#[derive(Clone, Debug)]
pub enum Event {
    /// The system has ended.
    Exited(SystemExitStatus),
    /// The guest of a virtual machine crashes.
    CrashInitiated(CrashReport),
    /// Everything is done that is to be done about the crash of a guest.
    CrashReport(CrashReport),
    /// The connection to the guest of a virtual machine has ended.
    GuestConnectionClosed,
    /// The service is gone, or has come back without the system.
    Disconnected,
}

impl Event {
    /// What a service tells of a system that has not ended by it; `None` if it cannot be understood.
    pub(crate) fn of(kind: EventKind, data: Option<Any>) -> Option<Event> {
        let report = || from_any::<CrashReport>(&data.unwrap_or_default()).ok();
        match kind {
            EventKind::SystemCrashInitiated => report().map(Event::CrashInitiated),
            EventKind::SystemCrashReport => report().map(Event::CrashReport),
            EventKind::SystemGuestConnectionClosed => Some(Event::GuestConnectionClosed),
            EventKind::SystemExited | EventKind::ProcessExited => None,
        }
    }

    pub(crate) fn of_exit(outcome: &Result<SystemExitStatus, Error>) -> Event {
        outcome.as_ref().map_or(Event::Disconnected, |status| Event::Exited(status.clone()))
    }
}

/// The events of all systems, in order. Two whose sequence numbers are not neighbours have a gap between them.
pub struct EventStream {
    socket: UnixStream,
    events: mpsc::UnboundedReceiver<Result<SystemEvent, Error>>,
}

impl EventStream {
    pub(crate) fn open(path: &Path, since: Option<u64>) -> Result<EventStream, Error> {
        let failed = |error: io::Error| -> Error {
            hcs_core::Error::new(Cause::ServiceNotAvailable, format!("{}: {error}", path.display())).into()
        };
        let socket = UnixStream::from(socket::connect(path).map_err(failed)?);
        let call = varlink::encode_call(WatchEvents::NAME, &WatchEvents { since }, true)
            .map_err(|error| failed(error.into()))?;
        let mut outbox = socket::Outbox::default();
        outbox.push(call, Vec::new());
        // A call as small as this fits into a socket that is new.
        outbox.flush(&socket).map_err(failed)?;
        let (sender, events) = mpsc::unbounded_channel();
        let reading = socket.try_clone().map_err(failed)?;
        quiet::spawn("hcs-events", move || {
            if let Err(error) = read(&reading, &sender) {
                // Who has dropped the stream does not want to know.
                let _ = sender.send(Err(error));
            }
        })
        .map_err(failed)?;
        Ok(EventStream { socket, events })
    }

    /// The next event; `None` after the error that ended the stream.
    pub async fn next(&mut self) -> Option<Result<SystemEvent, Error>> {
        self.events.recv().await
    }

    /// The next event, without a runtime. Not to be called where one is running.
    pub fn next_blocking(&mut self) -> Option<Result<SystemEvent, Error>> {
        self.events.blocking_recv()
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        // Ends the thread. A socket that is closed already has ended it.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

fn read(from: &UnixStream, to: &mpsc::UnboundedSender<Result<SystemEvent, Error>>) -> Result<(), Error> {
    let lost = |what: String| Error::from(hcs_core::Error::new(Cause::ServiceDisconnect, what));
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 16 << 10];
    loop {
        match socket::receive(from, &mut buffer) {
            Ok(received) if received.length == 0 => {
                return Err(lost("the stream of events has ended".to_owned()));
            }
            Ok(received) => {
                decoder
                    .feed(&buffer[..received.length], received.fds)
                    .map_err(|error| lost(error.to_string()))?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // An interrupted wait is a look too early.
                let _ = poll(&mut [PollFd::new(from, PollFlags::IN)], None);
            }
            Err(error) => return Err(lost(error.to_string())),
        }
        while let Some(message) = decoder.next_message() {
            let received = varlink::decode_reply(&message.text, message.fds)?;
            let reply: WatchEventsReply = serde_json::from_str(received.parameters.get())
                .map_err(|error| lost(format!("an event that cannot be read: {error}")))?;
            if to.send(Ok(reply.event)).is_err() {
                return Ok(());
            }
        }
    }
}
